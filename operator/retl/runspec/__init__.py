"""Five resources resolved into one RunSpec, the RunResult that comes back, and the contract of the pod between them."""

from retl.runspec.result import RunResult, RunStatusName
from retl.runspec.spec import Connection, Query, RunSpec

__all__ = ["Connection", "Query", "RunResult", "RunSpec", "RunStatusName"]
