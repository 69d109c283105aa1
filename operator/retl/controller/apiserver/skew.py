"""How far this machine's clock is from the API server's, learned from the header Date of its answers.

What is remembered is the server's time against the event loop's clock, which nobody sets. So a clock that jumps is
noticed the next time that somebody asks, and not when the next answers come in.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from statistics import median

_KEPT = 5
_EVERY = 1.0
"""Seconds; of answers that come faster most are passed over."""
_HALF_SECOND = 0.5
"""The header has whole seconds, cut off."""


class Skew:
    """What is known of the API server's clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        """Args:
        now: the present by our own clock.
        """
        self._now = now
        self._learned = float("-inf")
        self._offsets: deque[float] = deque(maxlen=_KEPT)

    def learn(self, date: str, sent: float, heard: float) -> None:
        """Take in an answer.

        Args:
            date: its header Date; one that cannot be read is passed over.
            sent, heard: when the request was sent and the answer was there, by the event loop's clock.
        """
        if heard - self._learned < _EVERY:
            return
        self._learned = heard
        try:
            server = parsedate_to_datetime(date)
        except ValueError:
            return
        self._offsets.append(server.timestamp() + _HALF_SECOND - (sent + heard) / 2)

    def value(self) -> timedelta | None:
        """How much our clock is ahead (negative: behind), to half a second; None before the first answer."""
        if not self._offsets:
            return None
        server = asyncio.get_running_loop().time() + median(self._offsets)
        return self._now().astimezone(UTC) - datetime.fromtimestamp(server, UTC)
