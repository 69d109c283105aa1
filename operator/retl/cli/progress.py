"""How a run goes on: a progress bar on stderr for a person who waits; nothing where stderr is not a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retl.engine.progress import Progress, Silent, Step
from retl.resources.run import RunCounts
from retl.runspec.spec import RunSpec

if TYPE_CHECKING:
    from rich import progress as bars

_WORDS: dict[Step, str] = {"extract": "reading", "diff": "comparing", "deliver": "sending", "commit": "finishing"}


@contextmanager
def showing_progress(spec: RunSpec) -> Iterator[Progress]:
    """Something for the engine to report to, gone from the screen at the end of the block."""
    if not sys.stderr.isatty():
        yield Silent()
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.SpinnerColumn(),
        bars.TextColumn(f"{spec.sync.name}  {{task.description}}"),
        bars.BarColumn(bar_width=30),
        bars.TextColumn("{task.fields[rows]}"),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.fields[beside]}"),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as display:
        yield Bar(display)


class Watched:
    """Hands everything on, and remembers the step.

    Attributes:
        at: the last step that began; None before the first.
    """

    def __init__(self, progress: Progress) -> None:
        self.at: Step | None = None
        self._progress = progress
        self.advanced = progress.advanced
        self.counted = progress.counted

    def step(self, step: Step, total: int | None) -> None:
        """A step begins."""
        self.at = step
        self._progress.step(step, total)


class Bar:
    """One line: the step, how far it is, rows a second, and how many records were deleted and refused so far."""

    def __init__(self, display: "bars.Progress") -> None:
        self._display = display
        self._task = display.add_task("starting", total=None, rows="", beside="")

    def step(self, step: Step, total: int | None) -> None:
        """A step begins."""
        fields = self._display.tasks[0].fields | {"rows": ""}
        self._display.reset(self._task, total=total, description=_WORDS[step], **fields)

    def advanced(self, step: Step, rows: int) -> None:
        """Rows handled in this step so far."""
        task = self._display.tasks[0]
        of = f" of {task.total:,.0f}" if task.total is not None else ""
        rate = f"  {rows / task.elapsed:,.0f}/s" if task.elapsed else ""
        self._display.update(self._task, completed=rows, rows=f"{rows:,}{of} rows{rate}")

    def counted(self, counts: RunCounts) -> None:
        """Totals of the run so far."""
        refused = counts.invalid + counts.rejected + counts.unknown
        beside = [
            f"{number:,} {word}" for number, word in ((counts.deleted, "deleted"), (refused, "refused")) if number
        ]
        self._display.update(self._task, beside=", ".join(beside))
