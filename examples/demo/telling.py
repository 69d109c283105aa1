"""How the demo speaks: numbered steps with the seconds they took, and what it shows, indented."""

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

_INDENT = " " * 6


@dataclass
class Telling:
    """Writes the story to a stream and remembers when it began."""

    out: TextIO = sys.stdout
    _began: float = field(default_factory=time.monotonic)
    _steps: int = 0
    _achieved: list[tuple[float, str]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step: its title at once, its seconds when it is done."""
        self._steps += 1
        number, began = self._steps, time.monotonic()
        self._write(f"\n{number:>3}.  {self._bold(title)}")
        yield
        self._write(f"{_INDENT}{self._dim(f'{time.monotonic() - began:.1f} s')}")

    def say(self, text: str) -> None:
        """Something worth knowing, one or more lines."""
        for line in text.rstrip().splitlines():
            self._write(f"{_INDENT}{line}".rstrip())

    def command(self, *words: str) -> None:
        """A command that is about to be run, so that a person could type it."""
        self.say(self._bold(f"$ {shlex.join(words)}"))

    def achieved(self, line: str) -> None:
        """A line for the summary, with the time at which it came true."""
        self._achieved.append((time.monotonic() - self._began, line))

    def summary(self) -> None:
        """What was achieved, and when."""
        self._write(f"\n{self._bold(f'What happened in {time.monotonic() - self._began:.0f} seconds')}")
        for seconds, line in self._achieved:
            self._write(f"  {seconds:>5.1f} s  {line}")

    def plain(self, text: str) -> None:
        """Lines without indentation."""
        self._write(text)

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.out.isatty() else text

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self.out.isatty() else text

    def _write(self, text: str) -> None:
        print(text, file=self.out, flush=True)
