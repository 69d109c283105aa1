"""What a run tells whoever watches: the command line's progress bar, or nobody."""

from typing import Protocol

from retl.resources.run import RunCounts, RunStep

Step = RunStep


class Progress(Protocol):
    """Called from the event loop; must return at once."""

    def step(self, step: Step, total: int | None) -> None:
        """A step begins; `total` is the number of rows it will handle, if that is known."""

    def advanced(self, step: Step, rows: int) -> None:
        """Rows handled in this step so far."""

    def counted(self, counts: RunCounts) -> None:
        """Totals of the run so far."""


class Silent:
    """Nobody watches."""

    def step(self, step: Step, total: int | None) -> None:
        """Say nothing."""

    def advanced(self, step: Step, rows: int) -> None:
        """Say nothing."""

    def counted(self, counts: RunCounts) -> None:
        """Say nothing."""
