"""What the runner says to its log: one JSON object a line on stderr. No row's value and no secret is ever in it."""

import json
import sys
import time
from datetime import UTC, datetime

from retl.engine.progress import Step
from retl.resources.run import RunCounts

EVERY = 10.0
"""Seconds between two lines about the same step."""


def log(event: str, **facts: object) -> None:
    """Write one line."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
    print(json.dumps(line, ensure_ascii=False, default=str), file=sys.stderr, flush=True)


class LoggedProgress:
    """Progress as log lines, few of them."""

    def __init__(self) -> None:
        self._said = 0.0

    def step(self, step: Step, total: int | None) -> None:
        """Say that a step begins."""
        log("step", step=step, total=total)
        self._said = time.monotonic()

    def advanced(self, step: Step, rows: int) -> None:
        """Say how far a step is, now and then."""
        if time.monotonic() - self._said >= EVERY:
            log("progress", step=step, rows=rows)
            self._said = time.monotonic()

    def counted(self, counts: RunCounts) -> None:
        """Say nothing: the result has the totals."""
