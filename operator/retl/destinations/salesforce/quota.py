"""The org's API calls of 24 hours, as replies tell of them: some are left to others.

See the REST API Developer Guide, Limit Info Header: `Sforce-Limit-Info: api-usage=18/5000`. The window slides, so
nobody says when calls come free; after a pause, one call finds out.
"""

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from retl.destinations.base import RateSignal, TryLater

USAGE = re.compile(r"(?:^|[;,\s])api-usage=([0-9]{1,12})/([0-9]{1,12})")


class Quota:
    """What is known of the org's calls.

    Args:
        reserve: percent that is left to others.
        pause: how long nothing is sent once no more is left.
    """

    def __init__(self, reserve: int, pause: timedelta) -> None:
        self._reserve = reserve
        self._pause = pause
        self._used = self._limit = 0
        self._heard_at = 0.0

    def heard(self, headers: Mapping[str, str], now: datetime) -> RateSignal | None:
        """Take a reply's word for it."""
        found = USAGE.search(headers.get("sforce-limit-info", ""))
        if found is None:
            return None
        self._used, self._limit, self._heard_at = int(found[1]), int(found[2]), time.monotonic()
        return RateSignal(remaining=max(0, self._limit - self._used), limit=self._limit)

    def check(self) -> None:
        """Raise TryLater if what is left belongs to others."""
        if not self._limit or (self._limit - self._used) * 100 > self._reserve * self._limit or not self._reserve:
            return
        wait = self._pause - timedelta(seconds=time.monotonic() - self._heard_at)
        if wait > timedelta():
            raise TryLater(
                "RATE_LIMIT",
                f"{self._used} of the org's {self._limit} API calls of 24 hours are used, and config.dailyReserve "
                f"leaves {self._reserve}% to others",
                wait,
            )
