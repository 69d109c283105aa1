"""How many requests a second this process allows itself: token buckets, in the order of asking.

The API server protects itself by its own priorities; these bounds keep a controller with 10,000 syncs from being what
it has to protect itself from. What must never wait behind work, the lease, has a bucket of its own.
"""

import asyncio

_LONGEST_REST = 30.0


class Budget:
    """So many requests a second, and so many at once after a pause."""

    def __init__(self, rate: float, burst: int) -> None:
        """Args:
        rate: requests a second in the long run.
        burst: requests that may be made at once.
        """
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._counted = 0.0
        self._rests_until = 0.0

    async def take(self) -> float:
        """Wait for the right to make one request; how long that took, in seconds."""
        started = asyncio.get_running_loop().time()
        wait = self._reserve(started)
        while wait > 0:
            await asyncio.sleep(wait)
            wait = self._rests_until - asyncio.get_running_loop().time()
        return asyncio.get_running_loop().time() - started

    def spare(self) -> bool:
        """Take the right to make one request, if it is there without waiting."""
        now = asyncio.get_running_loop().time()
        if self._reserve(now) <= 0:
            return True
        self._tokens += 1
        return False

    def rest(self, seconds: float) -> None:
        """Let nobody make a request for so long: the API server has asked for it."""
        until = asyncio.get_running_loop().time() + min(seconds, _LONGEST_REST)
        self._rests_until = max(self._rests_until, until)

    def _reserve(self, now: float) -> float:
        """Take a token, one that is yet to come if need be; seconds until it is there."""
        self._tokens = min(self._burst, self._tokens + (now - self._counted) * self._rate)
        self._counted = now
        self._tokens -= 1
        return max(-self._tokens / self._rate, self._rests_until - now)
