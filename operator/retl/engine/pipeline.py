"""A run from its claim to its result; the steps are the modules of this package.

extract ─▶ map ─▶ stage ─▶ diff ─▶ guard ─▶ deliver ─▶ commit ─▶ report
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import duckdb

from retl.destinations.base import Destination, Target
from retl.engine import guards
from retl.engine.chunk import Chunk
from retl.engine.commit import Committer
from retl.engine.deliver import Deliverer
from retl.engine.diff import Changes, diff
from retl.engine.letters import Letters
from retl.engine.plan import baseline, plan_hash
from retl.engine.progress import Progress, Silent
from retl.engine.report import CANCELLED, Ending, Report
from retl.engine.snapshot import fetch, merge
from retl.engine.stage import stage
from retl.engine.tally import Tally
from retl.engine.tasks import Stopped, beside, in_thread
from retl.engine.workspace import Workspace, workspace
from retl.errors import Fenced, RetlError
from retl.runspec.result import RunResult
from retl.runspec.spec import RunSpec
from retl.sources.base import Source
from retl.state.store import HEARTBEAT, Claim, ClaimRequest, StateStore

BLOCK_ROWS = 16_384
"""Rows fetched from disk at once, and then cut into batches."""
MAX_PARTS = 16
"""Parts of a snapshot that may be left to the next run to put together."""

R = TypeVar("R")


async def run(
    spec: RunSpec,
    source: Source,
    destination: Destination,
    state: StateStore,
    *,
    staging: Path,
    owner: str,
    stop: asyncio.Event | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Carry out one run.

    Args:
        staging: directory on local disk for the rows on their way; what is put there is removed at the end.
        owner: who runs this, for messages: `host/pid/start` or the pod's name.
        stop: set it to end the run early: batches in flight end, what was acknowledged is committed.
        progress: is told how the run goes on.
    Returns:
        The result. Whatever RetlError ends the run is in it, as a Failed result; nothing of that kind is raised.
    """
    tally = Tally()
    report = Report(spec, tally)
    try:
        request = ClaimRequest(run=spec.run, sync=spec.sync, baseline=baseline(spec), owner=owner)
        claim = await state.claim(request)
    except RetlError as error:
        return report.result(Ending.failed(error, spec))
    work = _Run(spec, source, destination, state, claim, tally, stop or asyncio.Event(), progress or Silent())
    try:
        ending = await beside(work.steps(staging), work.heartbeat())
    except Fenced as error:
        return report.result(Ending.failed(error, spec))
    except RetlError as error:
        ending = Ending.failed(error, spec)
    except Stopped:
        ending = CANCELLED
    try:
        return await state.finish(claim, report.result(ending))
    except RetlError as error:
        return report.result(Ending.failed(error, spec))


class _Run:
    """What the steps of one run share."""

    def __init__(
        self,
        spec: RunSpec,
        source: Source,
        destination: Destination,
        state: StateStore,
        claim: Claim,
        tally: Tally,
        stop: asyncio.Event,
        progress: Progress,
    ) -> None:
        self.spec = spec
        self.source = source
        self.destination = destination
        self.state = state
        self.claim = claim
        self.tally = tally
        self.stop = stop
        self.progress = progress
        self.payload = destination.capabilities.payload
        self.target = Target(
            object=spec.object,
            mode=spec.mode,
            key=tuple(m.destination for m in spec.mappings if m.key),
            fields=tuple(m.destination for m in spec.mappings),
            timeout=spec.delivery.timeout,
        )

    async def heartbeat(self) -> None:
        """Keep the claim for as long as the run lasts."""
        while True:
            await asyncio.sleep(HEARTBEAT.total_seconds())
            await self.state.heartbeat(self.claim, self.tally.counts())

    async def steps(self, staging: Path) -> Ending:
        """The run between claim and finish."""
        try:
            await self.destination.open(self.target)
            with workspace(staging) as work:
                changes = await self.compare(work)
                if ending := await self.judge(changes, work):
                    return ending
                return await self.write(changes, work)
        finally:
            await self.destination.close()

    async def compare(self, work: Workspace) -> Changes:
        """extract, map, stage, diff: what there is to do."""
        self.progress.step("extract", None)
        staged = await stage(
            self.spec,
            self.source,
            self.claim.salt,
            self.payload,
            work,
            stop=self.stop,
            read=lambda rows: self.progress.advanced("extract", rows),
        )
        self.progress.step("diff", staged.rows)
        snapshot = await fetch(self.state.snapshot(self.claim), work.file("snapshot.parquet"))
        waiting = await self.state.waiting(self.claim)
        with work.database.cursor() as cursor:
            changes = await self.in_thread(
                lambda: diff(staged, snapshot, waiting, cursor, full_refresh=self.spec.run.full_refresh), cursor
            )
        self.tally.judged(changes)
        self.progress.counted(self.tally.counts())
        return changes

    async def judge(self, changes: Changes, work: Workspace) -> Ending | None:
        """guard: how the run ends before anything is written, or None if it goes on."""
        planned = changes.created + changes.updated
        breach = guards.breach(self.spec.guards, read=changes.staged.rows, changes=planned, known=changes.known)
        if self.spec.run.mode != "Plan" and breach is None:
            return None
        digest = await asyncio.to_thread(plan_hash, self.spec, changes, work)
        if self.spec.run.mode == "Plan":
            self.tally.wrote(created=changes.created, updated=changes.updated)
            return Ending("Succeeded", message=f"would be held: {breach}" if breach else "", plan_hash=digest)
        approved = self.spec.run.approved_plan
        if approved == digest:
            return None
        if self.spec.guards.on_breach == "Fail":
            return Ending("Failed", "GuardBreached", breach or "", plan_hash=digest)
        if approved is not None:
            breach = f"plan {approved} was approved, but the rows have changed since: {breach}; approve plan {digest}"
        return Ending("AwaitingApproval", "GuardBreached", breach or "", plan_hash=digest)

    async def write(self, changes: Changes, work: Workspace) -> Ending:
        """deliver and commit: send the changes, make durable what became of them."""
        committer = Committer(self.state, self.claim, self.tally)
        letters = Letters(self.spec, changes.staged.problems)
        deliverer = Deliverer(
            self.destination,
            self.target,
            self.spec.delivery,
            letters=letters,
            tally=self.tally,
            committer=committer,
            progress=self.progress,
            stop=self.stop,
        )

        async def deliver() -> None:
            self.progress.step("deliver", changes.created + changes.updated)
            if changes.settled:
                async with aclosing(self.chunks(changes, ["settled"], work)) as settled:
                    async for chunk in settled:  # acknowledged once more: resolves their dead letters
                        await committer.add(keys=chunk.keys, rows=chunk.hashes)
            async with aclosing(self.chunks(changes, ["invalid"], work)) as invalid:
                async for chunk in invalid:
                    await committer.add(letters=letters.invalid(chunk))
            async with aclosing(self.chunks(changes, ["create", "update"], work)) as valid:
                await deliverer.run(valid)
            self.progress.step("commit", None)
            await committer.close()

        await beside(deliver(), committer.run())
        await self.compact(changes.parts + committer.parts, work)
        if deliverer.halt is not None:
            return Ending.failed(deliverer.halt, self.spec)
        return Ending("Succeeded") if deliverer.delivered == changes.created + changes.updated else CANCELLED

    async def chunks(self, changes: Changes, verdicts: Sequence[str], work: Workspace) -> AsyncGenerator[Chunk, None]:
        """The rows with these verdicts, in the batches that they travel in; ends early when the run is stopped."""
        capabilities = self.destination.capabilities
        size = min(self.spec.delivery.batch_size or capabilities.default_batch, capabilities.max_batch)
        values = [f"v{i}" for i in range(len(self.target.fields))] if self.payload == "arrow" else []
        block_rows = max(1, BLOCK_ROWS // size) * size
        with work.database.cursor() as cursor:
            try:
                rows = await self.in_thread(
                    lambda: cursor.sql(changes.rows(verdicts, ["payload", *values])).to_arrow_reader(block_rows), cursor
                )
                while block := await self.in_thread(lambda: next(iter(rows), None), cursor):
                    for chunk in Chunk(block).slices(size):
                        yield chunk
            except Stopped:
                return

    async def compact(self, parts: int, work: Workspace) -> None:
        """Put the parts of the snapshot together, so that the next run need not read many small ones."""
        if parts <= MAX_PARTS or self.stop.is_set():
            return
        snapshot = await fetch(self.state.snapshot(self.claim), work.file("parts.parquet"))
        merged = await asyncio.to_thread(merge, snapshot, work)
        await self.state.compact(self.claim, merged, snapshot.last)

    async def in_thread(self, work: Callable[[], R], cursor: duckdb.DuckDBPyConnection) -> R:
        """Blocking work on a cursor, that a stop interrupts."""
        return await in_thread(work, stop=self.stop, interrupt=cursor.interrupt)
