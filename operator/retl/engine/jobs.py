"""Batches that the destination takes as a job, and speaks of later.

What is needed to ask for a job is kept with the hashes of its records before anybody waits for it, so a runner that
dies is followed by one that asks for the job and does not send its records again. A runner that dies between the
destination's taking of a job and the keeping of it leaves the doubt that it leaves in any call: what may be repeated is
sent again, what may not is unknown, as delivery.onUnknown says.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from retl.destinations.base import (
    Batch,
    BatchRejected,
    Destination,
    Ended,
    JobResults,
    NotBegun,
    Outcome,
    Rejected,
    Running,
    Unknown,
)
from retl.engine.calls import Calls, Unanswered
from retl.engine.chunk import Chunk
from retl.engine.pauses import Over, backoff, wait_until
from retl.engine.settle import Settlement
from retl.errors import DestinationError
from retl.state.store import HASH_BYTES, Claim, OpenJob, StateStore

NEVER_BEGAN = Rejected("DESTINATION_UNAVAILABLE", "the destination took the job and never began it")


class Postponed(Exception):
    """The job has not ended; it stays open for the next run."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a job of an earlier run said of a record."""

    row: bytes
    outcome: Outcome
    job: str


class Jobs:
    """The jobs of one run, and those that earlier runs left open.

    Args:
        anew: whether an append sends again what earlier runs have sent.
    """

    def __init__(
        self,
        destination: Destination,
        calls: Calls,
        settlement: Settlement,
        *,
        state: StateStore,
        claim: Claim,
        anew: bool,
    ) -> None:
        self.resumed: list[str] = []
        """Ids of the jobs of earlier runs that have ended; to be forgotten once their records are settled."""
        self.outdated: set[str] = set()
        """Those of them that spoke of records which are about to be sent again; to be forgotten before that, so that no
        later run takes their word."""
        self._anew = anew
        self._destination = destination
        self._calls = calls
        self._settlement = settlement
        self._state = state
        self._claim = claim
        self._said: dict[bytes, _Said] = {}

    async def resume(self) -> None:
        """Wait for what earlier runs left open, and learn what became of it (raises Postponed)."""
        for job in await self._state.jobs(self._claim):
            semantics = self._destination.capabilities.semantics(job.operation)
            # Where each run appends all rows, those of another are none of this one: nothing could be told by them.
            if semantics != "append" or not self._anew or job.run_uid == self._claim.run_uid:
                told = zip(_split(job.keys), _split(job.rows), await self._end_of(job), strict=True)
                for key, row, outcome in told:
                    if outcome is not None:
                        self._said[key] = _Said(row, outcome, job.id)
            self.resumed.append(job.id)

    async def settle_known(self, chunk: Chunk) -> Chunk:
        """Settle the records of a chunk that a job of an earlier run has spoken of; those that are left."""
        if not self._said or not chunk.size:
            return chunk
        said: dict[int, Outcome] = {}
        for at, (key, row) in enumerate(zip(_split(chunk.keys), _split(chunk.hashes), strict=True)):
            if (held := self._said.pop(key, None)) is None:
                continue
            if held.row == row:
                said[at] = held.outcome
            else:
                self.outdated.add(held.job)
        if not said:
            return chunk
        await self._settlement.settle(chunk.take(list(said)), list(said.values()))
        return chunk.take([at for at in range(chunk.size) if at not in said])

    async def carry(self, chunk: Chunk, batch: Batch, *, repeatable: bool) -> tuple[str, Sequence[Outcome], int]:
        """Submit a batch and wait until the job has ended.

        Returns:
            The job's id, one outcome a record, and how many attempts it took to submit.
        Raises:
            BatchRejected, Unanswered: as `Calls.make`, of the submission.
            Postponed.
        """
        job = OpenJob(
            id=str(uuid.uuid4()),
            handle="",
            run_uid=self._claim.run_uid,
            operation=chunk.operation,
            submitted_at=datetime.now(UTC),
            keys=chunk.keys,
            rows=chunk.hashes,
            marks=b"".join(map(self._hash, self._destination.marks(batch))),
        )

        async def keep(handle: str) -> None:
            nonlocal job
            job = replace(job, handle=handle)
            await self._state.keep_job(self._claim, job)

        try:
            handle, attempts = await self._calls.make(
                lambda: self._destination.submit(batch, keep), repeatable=repeatable
            )
        except BatchRejected:
            if job.handle:
                self.resumed.append(job.id)
            raise
        except Unanswered as end:
            if not job.handle or not isinstance(end.outcome, Unknown):
                raise
            handle, attempts = job.handle, end.attempts  # the job itself knows whether it began
        if handle != job.handle:
            await keep(handle)
        outcomes = await self._end_of(job)
        return job.id, [outcome or NEVER_BEGAN for outcome in outcomes], attempts

    async def _end_of(self, job: OpenJob) -> list[Outcome | None]:
        """What became of each record; None of all if the job never began (raises Postponed)."""
        asked, count, patience = 0, len(job.keys) // HASH_BYTES, self._destination.capabilities.patience
        try:
            while True:
                status, _ = await self._calls.make(lambda: self._destination.poll(job.handle))
                if isinstance(status, NotBegun):
                    return [None] * count
                if isinstance(status, Ended):
                    results, _ = await self._calls.make(lambda: self._destination.collect(job.handle))
                    return list(self._outcomes(job, results))
                if self._given_up(job):
                    return [Unknown(f"the destination's job had not ended after {patience}")] * count
                asked += 1
                await self._wait(status, asked)
        except BatchRejected as refused:
            if self._given_up(job):
                words = f"the destination would not speak of its job in {patience}: {refused}"
                return [Unknown(words)] * count
            self._calls.end(
                DestinationError(
                    f"the destination refuses to speak of a job of {job.submitted_at:%Y-%m-%d %H:%M} UTC; "
                    f"the next run asks again, until {patience} have passed since then"
                )
            )
            raise Postponed from None
        except (Over, Unanswered):
            raise Postponed from None

    def _given_up(self, job: OpenJob) -> bool:
        return datetime.now(UTC) - job.submitted_at > self._destination.capabilities.patience

    async def _wait(self, status: Running, asked: int) -> None:
        pause = backoff(asked) if status.ask_in is None else status.ask_in.total_seconds()
        await wait_until(asyncio.get_running_loop().time() + pause, self._calls.over)

    def _outcomes(self, job: OpenJob, results: JobResults) -> Iterable[Outcome]:
        by_hash = {self._hash(mark): outcome for mark, outcome in results.outcomes.items()}
        return (by_hash.get(mark, results.rest) for mark in _split(job.marks))

    def _hash(self, mark: str) -> bytes:
        return hashlib.blake2b(mark.encode(), key=self._claim.salt, digest_size=HASH_BYTES).digest()


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
