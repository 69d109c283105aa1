"""How much one caller may ask, in one pod; nothing is shared between pods, so that no limit waits for a network.

A bucket holds `burst` requests and refills at `rate` a second. Buckets that nobody has used for longest are forgotten
first: by then they are full again, unless somebody makes up thousands of names, and names cost a login.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from time import monotonic

from retl.rest.callers.caller import Caller
from retl.rest.problems import Problem
from retl.rest.recent import Recent

RATE, BURST = 20.0, 100
"""Requests of a caller: a second in the long run, and at once."""
REFUSED_RATE, REFUSED_BURST = 5.0, 20
"""Credentials that an address may try in vain."""
STREAMS = 20
"""Streams that a caller may have open."""
BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Buckets:
    """Token buckets by name.

    Args:
        rate: tokens a second.
        burst: tokens that a bucket holds.
        clock: seconds of a steady clock.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: Recent[str, _Bucket] = Recent(BUCKETS)

    def wait(self, name: str) -> float:
        """Seconds until there is a token; 0 if there is one now."""
        return max(0.0, (1 - self._refilled(name).left) / self._rate)

    def take(self, name: str) -> float:
        """Take a token, if there is one; seconds until there is one, 0 if this took it."""
        wait = self.wait(name)
        if not wait:
            self._refilled(name).left -= 1
        return wait

    def _refilled(self, name: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(name) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        self._buckets.keep(name, bucket)
        return bucket


class Limits:
    """What is left to each caller and each address.

    Args:
        rate: requests of a caller a second.
        burst: requests of a caller at once.

    Attributes:
        throttled: requests that were one too many.
    """

    def __init__(self, rate: float = RATE, burst: int = BURST, clock: Callable[[], float] = monotonic) -> None:
        self._callers = Buckets(rate, burst, clock)
        self._addresses = Buckets(REFUSED_RATE, REFUSED_BURST, clock)
        self._good: Recent[bytes, None] = Recent(BUCKETS)
        self._streams: Counter[str] = Counter()
        self.throttled = 0

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return self._streams.total()

    def admit(self, caller: Caller) -> None:
        """Count a request of a caller (raises Problem 429)."""
        if wait := self._callers.take(_name(caller)):
            raise self._too_many("you ask faster than this pod answers one caller", wait)

    def knock(self, address: str, credential: str) -> None:
        """Let an address try a credential (raises Problem 429 if it tried too many in vain, and this one is new here).

        Whoever came in before may do so again: behind a proxy, others guess from the same address.
        """
        if _digest(credential) not in self._good and (wait := self._addresses.wait(address)):
            raise self._too_many("too many credentials from this address were not valid", wait)

    def let_in(self, credential: str) -> None:
        """Remember that a credential was valid."""
        self._good.keep(_digest(credential), None)

    def turned_away(self, address: str, credential: str) -> None:
        """Count a credential that was not valid."""
        self._good.pop(_digest(credential), None)
        self._addresses.take(address)

    @contextmanager
    def stream(self, caller: Caller) -> Iterator[None]:
        """Count a stream for as long as the block lasts (raises Problem 429)."""
        name = _name(caller)
        if self._streams[name] >= STREAMS:
            raise self._too_many(f"you have {STREAMS} streams open; close one", 1)
        self._streams[name] += 1
        try:
            yield
        finally:
            self._streams[name] -= 1
            if not self._streams[name]:
                del self._streams[name]

    def _too_many(self, detail: str, wait: float) -> Problem:
        self.throttled += 1
        return Problem(429, "too-many-requests", detail, {"Retry-After": str(max(1, ceil(wait)))})


def _digest(credential: str) -> bytes:
    return sha256(credential.encode()).digest()


def _name(caller: Caller) -> str:
    return f"{caller.username} {caller.key}"
