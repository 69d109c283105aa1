"""What a run tells whoever watches: the command line's progress bar, or nobody."""

from datetime import UTC, datetime
from typing import Protocol

from retl.resources.run import RunCounts, RunProgress, RunStep

Step = RunStep


class Progress(Protocol):
    """Called from the event loop; must return at once."""

    def step(self, step: Step, total: int | None) -> None:
        """A step begins; `total` is the number of rows it will handle, if that is known."""

    def advanced(self, step: Step, rows: int) -> None:
        """Rows handled in this step so far."""

    def counted(self, counts: RunCounts) -> None:
        """Totals of the run so far."""


class Followed:
    """Passes on what it is told, and can be asked how far the run is."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self._step: Step | None = None
        self._rows = 0
        self._total: int | None = None

    def step(self, step: Step, total: int | None) -> None:
        """A step begins."""
        self._step, self._rows, self._total = step, 0, total
        self._inner.step(step, total)

    def advanced(self, step: Step, rows: int) -> None:
        """Rows handled in this step so far; those of batches that overtake each other never count backwards."""
        self._rows = max(self._rows, rows)
        self._inner.advanced(step, rows)

    def counted(self, counts: RunCounts) -> None:
        """Totals of the run so far."""
        self._inner.counted(counts)

    def now(self) -> RunProgress | None:
        """How far the run is; None before its first step."""
        if self._step is None:
            return None
        return RunProgress(step=self._step, rows=self._rows, total=self._total, updated_at=datetime.now(UTC))


class Silent:
    """Nobody watches."""

    def step(self, step: Step, total: int | None) -> None:
        """Say nothing."""

    def advanced(self, step: Step, rows: int) -> None:
        """Say nothing."""

    def counted(self, counts: RunCounts) -> None:
        """Say nothing."""
