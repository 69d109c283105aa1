"""One call to the destination: at its moment, again where that helps, and in the end an answer or what became of it.

Being told to wait for the rate is no attempt. A call that failed for the destination's sake is made again after a
growing pause; one that may have been carried out is made again only if the operation can be repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from retl.destinations.base import BatchRejected, LoginRefused, Outcome, Rejected, TryLater, Unknown
from retl.engine.breaker import Breaker
from retl.engine.pauses import Over, backoff, wait_until
from retl.engine.rate import Rate
from retl.errors import DestinationError, DestinationUnavailable, RetlError

R = TypeVar("R")


class Unanswered(Exception):
    """The destination gave no answer that says what became of the records.

    Attributes:
        outcome: what is to be taken for one; None if they are left to the next run as if nothing had been tried.
    """

    def __init__(self, outcome: Outcome | None, attempts: int) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.attempts = max(attempts, 1)


class Calls:
    """The calls of one run.

    Attributes:
        halt: why no further call is made, if not because the run was stopped.
        over: set when no further call is made.
    """

    def __init__(self, rate: Rate, *, most: int, max_attempts: int, over: asyncio.Event) -> None:
        self.halt: RetlError | None = None
        self.over = over
        self._rate = rate
        self._max_attempts = max_attempts
        self._breaker = Breaker(most, max_attempts, over)

    def end(self, error: RetlError) -> None:
        """Make no further call; those under way go on."""
        self.halt = self.halt or error
        self.over.set()

    async def make(self, call: Callable[[], Awaitable[R]], *, repeatable: bool = True) -> tuple[R, int]:
        """The call's answer, and how many attempts it took.

        Args:
            repeatable: whether it may be made again when nobody knows if it was carried out.
        Raises:
            BatchRejected: as the destination raised it.
            Unanswered: it was given up, or the run is over.
        """
        attempts = refusals = 0
        doubt = ""  # what was said of an attempt that may have been carried out all the same
        while True:
            try:
                return await self._once(call), attempts + 1
            except Over:
                raise _unanswered(doubt, None, attempts) from None
            except LoginRefused as error:
                self.end(error)
                raise _unanswered(doubt, Rejected("DESTINATION_AUTH", f"{error}{error.said}"), attempts + 1) from None
            except DestinationError as error:  # the endpoint or object is wrong: no record was looked at
                self.end(error)
                raise _unanswered(doubt, None, attempts + 1) from None
            except TryLater as later:
                if later.code == "RATE_LIMIT":
                    refusals += 1
                else:
                    attempts += 1
                    doubt = str(later) if later.code == "OUTCOME_UNKNOWN" else doubt
                    self._give_up(later, attempts, doubt, repeatable=repeatable)
                try:
                    await self._pause(later, attempts + refusals)
                except Over:
                    raise _unanswered(doubt, None, attempts) from None

    async def _once(self, call: Callable[[], Awaitable[R]]) -> R:
        began = await self._begin()
        try:
            value = await call()
        except BatchRejected:
            self._breaker.succeeded()
            raise
        except TryLater as later:
            if later.code == "RATE_LIMIT":
                self._rate.refused(began)
            else:
                self._breaker.failed(began)
            raise
        finally:
            self._breaker.leave()
        self._breaker.succeeded()
        return value

    async def _begin(self) -> float:
        """Wait until the call may be made; the moment at which it is (raises Over)."""
        while True:
            await self._breaker.enter()
            try:
                await self._rate.slot()
            except BaseException:
                self._breaker.leave()
                raise
            if not self._breaker.crowded:
                return asyncio.get_running_loop().time()
            self._breaker.leave()

    def _give_up(self, later: TryLater, attempts: int, doubt: str, *, repeatable: bool) -> None:
        """Raise Unanswered if there is no point in another attempt."""
        may_repeat = repeatable or not doubt
        if self._breaker.dead:
            self.end(DestinationUnavailable(f"given up after {self._breaker.failures} calls failed in a row: {later}"))
        elif may_repeat and attempts >= self._max_attempts:
            tried = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            self.end(DestinationUnavailable(f"given up after {tried}: {later}"))
        elif may_repeat:
            return
        raise _unanswered(doubt, Rejected(later.code, f"{later}{later.said}"), attempts)

    async def _pause(self, later: TryLater, failures: int) -> None:
        """Wait as the destination asked for, or back off (raises Over).

        What it asks of one call holds for all, so that none is made in vain.
        """
        asked = later.retry_after.total_seconds() if later.retry_after else 0.0
        if later.code == "RATE_LIMIT":
            await self._rate.pause_all(asked or backoff(failures))
        elif asked:
            self._rate.pause(asked)
        else:
            await wait_until(asyncio.get_running_loop().time() + backoff(failures), self.over)


def _unanswered(doubt: str, outcome: Outcome | None, attempts: int) -> Unanswered:
    return Unanswered(Unknown(doubt) if doubt else outcome, attempts)
