"""Sends changed rows to the destination: several batches in flight, and what became of each record.

Every row that is taken ends as acknowledged, skipped, rejected or unknown; rows that are not taken, because the run was
stopped or has ended early, are left to the next run.

Before a record is sent of which the snapshot knows something, the snapshot is told that nobody knows any more what the
destination holds; and before any record is sent that must not be sent twice, that this was begun. So a kill in between
is never taken for a record that is as it was.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from retl.destinations.base import BatchRejected, Destination, Rejected, Target, Unknown
from retl.engine.blocks import blocks, cut, known
from retl.engine.calls import Calls, Unanswered
from retl.engine.chunk import Chunk
from retl.engine.commit import Committer
from retl.engine.idempotency import RecordIds, id_scope
from retl.engine.jobs import Jobs, Postponed
from retl.engine.letters import Letters
from retl.engine.lookups import Lookups
from retl.engine.mapping import Projection
from retl.engine.pauses import Over
from retl.engine.progress import Progress
from retl.engine.rate import Rate
from retl.engine.settle import Settlement
from retl.engine.tally import Tally
from retl.engine.tasks import ahead
from retl.errors import CanaryFailed, DestinationError, RetlError
from retl.runspec.spec import RunSpec
from retl.state.store import NO_ROW, SENT, Claim, StateStore

INTERRUPTED = Unknown("an earlier attempt was killed while it was sent")


class Deliverer:
    """Delivery of one run."""

    def __init__(
        self,
        spec: RunSpec,
        destination: Destination,
        target: Target,
        *,
        state: StateStore,
        claim: Claim,
        mapping: Projection,
        letters: Letters,
        tally: Tally,
        committer: Committer,
        progress: Progress,
        stop: asyncio.Event,
        to_send: int,
    ) -> None:
        capabilities, delivery = destination.capabilities, spec.delivery
        over = asyncio.Event()
        rate = Rate.of(spec.destination, state, claim, over)
        destination.signal = rate.heard
        self._calls = Calls(rate, most=delivery.max_in_flight, max_attempts=delivery.max_attempts, over=over)
        self._letters = letters
        self._settlement = Settlement(
            spec,
            capabilities,
            letters=letters,
            tally=tally,
            committer=committer,
            progress=progress,
            to_send=to_send,
            end=self._calls.end,
        )
        self._jobs = Jobs(
            destination,
            self._calls,
            self._settlement,
            state=state,
            claim=claim,
            anew=spec.change_detection.strategy != "Cursor" or spec.run.full_refresh,
        )
        self._asynchronous = False
        self._lookups = Lookups(mapping, destination, self._calls, self._settlement)
        self._canary = delivery.canary
        self._canary_left = delivery.canary.records if delivery.canary else 0
        self._destination = destination
        self._target = target
        self._most = delivery.max_in_flight
        self._repeatable = capabilities.repeatable
        self._payload = capabilities.payload
        self._id_scope = id_scope(spec, capabilities.semantics(spec.mode))
        self._committer = committer
        self._stop = stop
        self._to_settle = to_send

    @property
    def halt(self) -> RetlError | None:
        """Why the run has ended early, if it was not stopped."""
        return self._calls.halt

    @property
    def over(self) -> bool:
        """Whether nothing more is sent."""
        return self._stop.is_set() or self._calls.over.is_set()

    @property
    def finished(self) -> bool:
        """Whether it is settled of every record what became of it."""
        return self._settlement.settled >= self._to_settle

    @property
    def all_acknowledged(self) -> bool:
        """Whether so far no record was refused, or left to the next run."""
        return self._settlement.all_acknowledged

    @property
    def smallest_refused(self) -> Any:
        """Under a cursor, the smallest value of a record that was refused; None if there is none."""
        return self._settlement.smallest_refused

    async def resume(self) -> None:
        """Wait for the jobs that earlier runs left open; what they say settles their records when these come up."""
        try:
            await self._jobs.resume()
        except Postponed:
            self._settlement.postpone()
            self._calls.over.set()

    async def forget_resumed(self) -> None:
        """No record waits any more for what the jobs of earlier runs said."""
        if not self.over:
            await self._committer.add(ended=self._jobs.resumed)

    async def complete(self) -> None:
        """Tell the destination that every row was sent."""
        try:
            await self._calls.make(self._destination.complete)
        except BatchRejected as error:
            self._calls.end(DestinationError(f"what was not sent could not be dropped: {error}"))
        except Unanswered:
            self._settlement.postpone()

    async def run(self, chunks: AsyncIterator[Chunk], *, asynchronous: bool = False) -> None:
        """Send chunk after chunk, as many at a time as the sync allows, until all are sent or the run is over.

        Args:
            asynchronous: each of them is a job.
        """
        self._asynchronous = asynchronous
        slots = asyncio.Semaphore(self._most)
        watching = asyncio.ensure_future(self._end_when_stopped())
        try:
            async with (
                aclosing(ahead(blocks(chunks, first=self._canary_left))) as ordered,
                asyncio.TaskGroup() as sending,
            ):
                async for block in ordered:
                    try:
                        prepared = await self._prepare(block)
                    except Over:
                        return
                    if self._canary_left:
                        await self._send_first(prepared, sum(chunk.size for chunk in block))
                        continue
                    for chunk in prepared:
                        await slots.acquire()
                        if self.over:
                            return
                        sending.create_task(self._send(chunk)).add_done_callback(lambda _: slots.release())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the first is the cause, the others were cancelled for it
        finally:
            watching.cancel()

    async def run_doubtful(self, chunks: AsyncIterator[Chunk]) -> None:
        """Settle rows whose write was begun by an attempt that was killed, and must not be repeated unasked."""
        async for chunk in chunks:
            self._to_settle += chunk.size
            chunk = await self._jobs.settle_known(chunk)
            await self._settlement.settle(chunk, [INTERRUPTED] * chunk.size)

    async def _end_when_stopped(self) -> None:
        await self._stop.wait()
        self._calls.over.set()

    async def _prepare(self, block: list[Chunk]) -> list[Chunk]:
        """What of a block is to be sent: values looked up, and announced what may be repeated (raises Over)."""
        unsettled = [await self._jobs.settle_known(chunk) for chunk in block]
        prepared = await self._lookups.resolve([chunk for chunk in unsettled if chunk.size])
        announced = [known(chunk) for chunk in prepared if chunk.operation in self._repeatable]
        await self._committer.intend(
            keys=b"".join(chunk.keys for chunk in announced),
            row=NO_ROW,
            records=b"".join(chunk.records for chunk in announced),
            ended=sorted(self._jobs.outdated),
        )
        self._jobs.outdated.clear()
        return prepared

    async def _send_first(self, chunks: list[Chunk], taken: int) -> None:
        """Send the canary's records, one batch after the other, and see how many are refused."""
        assert self._canary is not None
        self._canary_left -= min(taken, self._canary_left)
        for chunk in chunks:
            await self._send(chunk)
        if self._settlement.refused > self._canary.max_errors:
            self._calls.end(
                CanaryFailed(
                    f"{self._settlement.refused} of the first {self._canary.records - self._canary_left} records were "
                    f"refused, more than delivery.canary.maxErrors {self._canary.max_errors}; no others were sent"
                )
            )

    async def _send(self, chunk: Chunk) -> None:
        """Write one chunk and settle what became of its records."""
        if chunk.operation not in self._repeatable:
            await self._committer.intend(keys=chunk.keys, row=SENT, records=chunk.records)
        await self._write(chunk)

    async def _write(self, chunk: Chunk) -> bool:
        """Whether the destination took the chunk without a word against any record."""
        ids = RecordIds(chunk.keys, chunk.hashes, self._id_scope)
        batch = chunk.batch(self._payload, self._target.fields, ids)
        repeatable = chunk.operation in self._repeatable
        ended: list[str] = []
        try:
            if self._asynchronous:
                job, found, attempts = await self._jobs.carry(chunk, batch, repeatable=repeatable)
                ended.append(job)
            else:
                found, attempts = await self._calls.make(lambda: self._destination.write(batch), repeatable=repeatable)
        except Postponed:
            self._settlement.postpone()
            return False
        except BatchRejected as refused:
            await self._search(chunk, refused)
            return False
        except Unanswered as end:
            if end.outcome is None:
                await self._settlement.leave(chunk)
            else:
                outcome = self._letters.shared(chunk, end.outcome)
                await self._settlement.settle(chunk, [outcome] * chunk.size, end.attempts)
            return False
        await self._settlement.settle(chunk, found, attempts)
        if ended:
            await self._committer.add(ended=ended)
        return not any(isinstance(outcome, Rejected) for outcome in found)

    async def _search(self, chunk: Chunk, refused: BatchRejected) -> None:
        """Find the records for whose sake a chunk was refused as a whole: halve it until they stand alone.

        One of N costs at most 2·log2(N) further calls: where the first half is taken, the fault is in the second, which
        need not be sent to know that.
        """
        if chunk.size == 1:
            return await self._settlement.settle(chunk, [Rejected(refused.code, refused.message)])
        first, second = cut(chunk, chunk.size // 2)
        if await self._write(first) and second.size > 1:
            return await self._search(second, refused)
        await self._write(second)
        return None
