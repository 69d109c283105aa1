"""RunResult: what a runner says at its end, small enough for a pod's termination message (4 KB)."""

from typing import Literal

from pydantic import Field

from retl.resources.fields import StatusModel
from retl.resources.run import RunCounts

RunStatusName = Literal["Succeeded", "Failed", "Cancelled", "AwaitingApproval"]
MESSAGE_MAX = 2_000


class RunResult(StatusModel):
    """The outcome of one attempt at a run.

    Attributes:
        status: how it ended.
        reason: CamelCase word, such as SourceFailed or GuardBreached; empty when it succeeded, or SourceNotFresh when
            there was nothing new to read.
        message: for people; never holds a row's value or a secret.
        retriable: another attempt may do better (the destination was down), or will not (the query is wrong).
        counts: read = unchanged + created + updated + deleted + skipped + invalid + rejected + unknown.
        dead_letters: open dead letters of the sync after this run.
        dead_letters_by_code: the same, a number a code.
        dead_letters_dropped: refused records that no dead letter was kept of, because there are too many.
        plan_hash: identifies the planned changes; an approval names it.
    """

    run: str
    sync: str
    status: RunStatusName
    reason: str = ""
    message: str = Field(default="", max_length=MESSAGE_MAX)
    retriable: bool = False
    counts: RunCounts = RunCounts()
    dead_letters: int = 0
    dead_letters_by_code: dict[str, int] = Field(default_factory=dict)
    dead_letters_dropped: int = 0
    plan_hash: str | None = None
    duration_seconds: float = 0.0
