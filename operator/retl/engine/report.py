"""How a run ended, as the RunResult that travels to the controller, the state store and the command line."""

import time
from dataclasses import dataclass

from retl.engine.tally import Tally
from retl.errors import DestinationError, RetlError, SourceError
from retl.runspec.result import MESSAGE_MAX, RunResult, RunStatusName
from retl.runspec.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended; the fields of RunResult that the counts do not say."""

    status: RunStatusName
    reason: str = ""
    message: str = ""
    retriable: bool = False
    plan_hash: str | None = None

    @classmethod
    def failed(cls, error: RetlError, spec: RunSpec) -> "Ending":
        """The run failed with this error; the message says at which end."""
        return cls("Failed", error.reason, f"{_end(error, spec)}{error}", error.retriable)


def _end(error: RetlError, spec: RunSpec) -> str:
    if isinstance(error, SourceError):
        return f"SyncSource {spec.source.name}: "
    return f"SyncDestination {spec.destination.name}: " if isinstance(error, DestinationError) else ""


NOT_FRESH = Ending("Succeeded", "SourceNotFresh", "nothing was read or written")
CANCELLED = Ending("Cancelled", "Stopped", "stopped before all records were sent; the next run goes on", retriable=True)


class Report:
    """Writes the result of one run; the clock starts with it."""

    def __init__(self, spec: RunSpec, tally: Tally) -> None:
        self._spec = spec
        self._tally = tally
        self._began = time.monotonic()

    def result(self, ending: Ending) -> RunResult:
        """The run's result; its counts add up (asserted)."""
        counts = self._tally.final()
        assert counts.read == sum(counts.model_dump(exclude={"read"}).values()), counts
        return RunResult(
            run=self._spec.run.name,
            sync=self._spec.sync.name,
            status=ending.status,
            reason=ending.reason,
            message=ending.message[:MESSAGE_MAX],
            retriable=ending.retriable,
            counts=counts,
            plan_hash=ending.plan_hash,
            duration_seconds=round(time.monotonic() - self._began, 3),
        )
