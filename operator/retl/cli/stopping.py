"""What Ctrl-C and SIGTERM do: once, the run stops cleanly; twice, at once."""

import asyncio
import os
import signal
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import typer

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stopping:
    """Listens for both signals within an `async with` block.

    Attributes:
        asked: set by the first signal.
        by: that signal.
    """

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    by: signal.Signals | None = None

    async def __aenter__(self) -> Self:
        for each in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(each, self._stop, each)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(each)

    def _stop(self, by: signal.Signals) -> None:
        if self.by is not None:
            # Die of the signal itself: whoever started us sees that, and no clean-up can delay it.
            signal.signal(by, signal.SIG_DFL)
            os.kill(os.getpid(), by)
            return
        self.by = by
        self.asked.set()
        typer.echo("stopping: waiting for the calls that are under way; once more to stop at once", err=True)
