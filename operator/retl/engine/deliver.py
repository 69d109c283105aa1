"""Sends changed rows to the destination: several batches in flight, retries, and what became of each record.

Every row that is taken ends as acknowledged, rejected or unknown; rows that are not taken, because the run was stopped
or the destination takes nothing any more, are left to the next run.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from retl.destinations.base import (
    ACKNOWLEDGED,
    Acknowledged,
    BatchRejected,
    Destination,
    LoginRefused,
    Outcome,
    Rejected,
    Target,
    TryLater,
    Unknown,
)
from retl.engine.chunk import Chunk
from retl.engine.commit import Committer
from retl.engine.letters import Letters
from retl.engine.progress import Progress
from retl.engine.tally import Tally
from retl.errors import DestinationError, DestinationUnavailable
from retl.runspec.spec import RunSpec
from retl.state.store import NO_ROW

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds between two tries of a batch, doubled with each, unless the destination says how long."""


class Deliverer:
    """Delivery of one run.

    Attributes:
        halt: why the destination takes nothing any more, once that is so.
        delivered: rows of which it is settled what became of them.
        all_acknowledged: whether no row was refused, or left out by the destination's trouble.
        smallest_refused: under a cursor, the smallest value of a row that was not acknowledged.
    """

    def __init__(
        self,
        spec: RunSpec,
        destination: Destination,
        target: Target,
        *,
        letters: Letters,
        tally: Tally,
        committer: Committer,
        progress: Progress,
        stop: asyncio.Event,
        to_send: int,
    ) -> None:
        self.halt: DestinationError | None = None
        self.delivered = 0
        self.all_acknowledged = True
        self.smallest_refused: Any = None
        self._destination = destination
        self._payload = destination.capabilities.payload
        self._target = target
        self._delivery = spec.delivery
        self._to_send = to_send
        self._letters = letters
        self._tally = tally
        self._committer = committer
        self._progress = progress
        self._stop = stop
        self._not_before = 0.0

    async def run(self, chunks: AsyncIterator[Chunk]) -> None:
        """Send chunk after chunk, as many at a time as the sync allows, until all are sent or the run is over."""
        slots = asyncio.Semaphore(self._delivery.max_in_flight)
        try:
            async with asyncio.TaskGroup() as sending:
                async for chunk in chunks:
                    await slots.acquire()
                    if self.over:
                        return
                    sending.create_task(self._send(chunk)).add_done_callback(lambda _: slots.release())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the first is the cause, the others were cancelled for it

    async def run_doubtful(self, chunks: AsyncIterator[Chunk]) -> None:
        """Rows whose write was begun by an attempt that was killed, and must not be repeated unasked."""
        async for chunk in chunks:
            await self.run(_one(chunk))

    @property
    def finished(self) -> bool:
        """Whether every record was taken."""
        return self.delivered >= self._to_send

    @property
    def over(self) -> bool:
        return self._stop.is_set() or self.halt is not None

    async def _send(self, chunk: Chunk) -> None:
        """Write one chunk, as often as it takes, and settle what became of its records."""
        batch = chunk.batch(self._payload, self._target.fields)
        attempts = pauses = 0
        doubt = ""  # what was said of an attempt that may have been carried out all the same
        while True:
            attempts += 1
            try:
                outcomes = await self._destination.write(batch)
            except TryLater as later:
                pauses += 1
                attempts -= later.code == "RATE_LIMIT"  # to be told to wait is no attempt
                doubt = str(later) if later.code == "OUTCOME_UNKNOWN" else doubt
                if attempts >= self._delivery.max_attempts or self.halt is not None:
                    self._halted(DestinationUnavailable(f"given up after {attempts} attempts: {later}"))
                    outcome = Unknown(doubt) if doubt else Rejected(later.code, f"{later}{later.said}")
                    return await self._give_up(chunk, outcome, attempts)
                if await self._stopped_while_waiting(later, pauses):
                    return await self._leave(chunk, doubt, attempts)
            except BatchRejected as refused:
                return await self._search(chunk, refused)
            except LoginRefused as error:
                self._halted(error)
                outcome = Unknown(doubt) if doubt else Rejected("DESTINATION_AUTH", str(error))
                return await self._give_up(chunk, outcome, attempts)
            except DestinationError as error:  # the endpoint or object is wrong: no record was looked at
                self._halted(error)
                return await self._leave(chunk, doubt, attempts)
            else:
                return await self._settle(chunk, list(outcomes), attempts)

    async def _stopped_while_waiting(self, later: TryLater, pauses: int) -> bool:
        """Wait as long as the destination asked for, or back off; True if the run was stopped meanwhile.

        What the destination asks of one batch holds for all, so that none of them is sent in vain.
        """
        loop = asyncio.get_running_loop()
        if later.retry_after:
            self._not_before = max(self._not_before, loop.time() + later.retry_after.total_seconds())
            until = self._not_before
        else:  # not said, or "at once", which is what got us here
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(pauses - 1, 16))
            until = max(self._not_before, loop.time() + pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
        try:
            async with asyncio.timeout_at(until):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True

    async def _search(self, chunk: Chunk, refused: BatchRejected) -> None:
        """Find the records for whose sake the whole chunk was refused: halve it until they stand alone."""
        if chunk.size == 1:
            return await self._settle(chunk, [Rejected(refused.code, refused.message)], 1)
        for half in chunk.slices(-(-chunk.size // 2)):
            if not self.over:
                await self._send(half)
        return None

    def _halted(self, error: DestinationError) -> None:
        self.halt = self.halt or error

    async def _leave(self, chunk: Chunk, doubt: str, attempts: int) -> None:
        """Leave a chunk to the next run, as if it had not been taken, unless it may have been written."""
        if doubt:
            await self._give_up(chunk, Unknown(doubt), attempts)

    async def _give_up(self, chunk: Chunk, outcome: Outcome, attempts: int) -> None:
        await self._settle(chunk, [outcome] * chunk.size, max(attempts, 1))

    async def _settle(self, chunk: Chunk, outcomes: list[Outcome], attempts: int) -> None:
        """Count the outcomes and hand them to the committer."""
        missing = chunk.size - len(outcomes)
        outcomes += [Unknown("the connector did not say what became of the record")] * missing
        self.delivered += chunk.size
        if outcomes.count(ACKNOWLEDGED) == chunk.size:
            await self._acknowledge(chunk)
        else:
            await self._acknowledge(chunk.take([i for i, o in enumerate(outcomes) if isinstance(o, Acknowledged)]))
            await self._refuse(chunk, outcomes, attempts)
        self._progress.advanced("deliver", self.delivered)
        self._progress.counted(self._tally.counts())

    async def _acknowledge(self, chunk: Chunk) -> None:
        created = chunk.created
        if chunk.operation == "delete":
            self._tally.wrote(deleted=chunk.size)
        else:
            self._tally.wrote(created=created, updated=chunk.size - created)
        await self._committer.add(keys=chunk.keys, rows=chunk.hashes, records=chunk.records, resolved=chunk.origins)

    async def _refuse(self, chunk: Chunk, outcomes: list[Outcome], attempts: int) -> None:
        for i, outcome in enumerate(outcomes):
            if isinstance(outcome, Acknowledged):
                continue
            self.all_acknowledged = False
            if isinstance(outcome, Rejected):
                code, self._tally.rejected = outcome.code, self._tally.rejected + 1
            else:
                code, self._tally.unknown = "OUTCOME_UNKNOWN", self._tally.unknown + 1
                await self._forget(chunk.row(i))
            await self._committer.add(letters=self._letters.of(chunk.row(i), code, outcome.message, attempts))

    async def _forget(self, row: Chunk) -> None:
        """The destination may hold the new values or the old: whatever the source says next must be sent."""
        if not row.created:
            await self._committer.add(keys=row.keys, rows=NO_ROW, records=row.records)


async def _one(chunk: Chunk) -> AsyncIterator[Chunk]:
    yield chunk
