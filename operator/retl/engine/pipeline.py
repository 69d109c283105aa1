"""A run from its claim to its result; the steps are the modules of this package.

extract ─▶ map ─▶ stage ─▶ diff ─▶ guard ─▶ deliver ─▶ commit ─▶ report
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from retl.destinations.base import Batching, Destination, Target
from retl.engine import contradictions, freshness, guards, plan, replay, selection
from retl.engine import cursor as cursors
from retl.engine.baseline import baseline, mapping_fingerprint, notes
from retl.engine.blocks import BLOCK_BYTES, BLOCK_ROWS
from retl.engine.chunk import Chunk
from retl.engine.commit import Committer
from retl.engine.deliver import Deliverer
from retl.engine.diff import CREATE, DELETE, DOUBTFUL, UPDATE, Changes, Rules, diff
from retl.engine.letters import Letters
from retl.engine.mapping import Projection, compile_mapping
from retl.engine.progress import Followed, Progress, Silent
from retl.engine.report import CANCELLED, NOT_FRESH, Ending, Report
from retl.engine.snapshot import PART_ROWS, Snapshot, fetch, merge
from retl.engine.stage import Staged, stage
from retl.engine.tally import Tally
from retl.engine.tasks import Stopped, beside, in_thread, naming_exhaustion
from retl.engine.workspace import Workspace, workspace
from retl.errors import DestinationError, Fenced, InvalidInput, RetlError
from retl.runspec.plan import Plan
from retl.runspec.result import MESSAGE_MAX, RunResult
from retl.runspec.spec import RunSpec
from retl.sources.base import Source
from retl.state.store import GONE, HEARTBEAT, Claim, ClaimRequest, Notes, StateStore, Waiting

BATCH_BYTES = 4 * 1024**2
"""Of rows that are so wide that fewer of them must do in a batch, on average."""
MAX_PARTS = 100
"""Parts of a snapshot, beside those that are as large as they become, that may be left to the next run to merge."""

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
        request = _request(spec, destination, owner)
        claim = await state.claim(request)
    except RetlError as error:
        return report.result(Ending.failed(error, spec))
    work = _Run(
        spec,
        source,
        destination,
        state,
        claim,
        request.baseline,
        tally,
        stop or asyncio.Event(),
        Followed(progress or Silent()),
    )
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


def _request(spec: RunSpec, destination: Destination, owner: str) -> ClaimRequest:
    every_row = spec.change_detection.strategy != "Cursor" or spec.run.full_refresh
    appends = destination.capabilities.semantics(spec.mode) == "append" and spec.run.mode != "Replay"
    return ClaimRequest(
        run=spec.run,
        sync=spec.sync,
        baseline=baseline(spec),
        owner=owner,
        ledger=spec.run.uid if appends and every_row else "",
        letters=spec.dead_letters,
    )


class _Run:
    """What the steps of one run share."""

    def __init__(
        self,
        spec: RunSpec,
        source: Source,
        destination: Destination,
        state: StateStore,
        claim: Claim,
        baseline: str,
        tally: Tally,
        stop: asyncio.Event,
        progress: Followed,
    ) -> None:
        self.spec = spec
        self.baseline = baseline
        self.source = source
        self.destination = destination
        self.state = state
        self.claim = claim
        self.tally = tally
        self.stop = stop
        self.progress = progress
        self.payload = destination.capabilities.payload
        self.semantics = destination.capabilities.semantics(spec.mode)
        self.began = datetime.now(UTC)
        self.waiting = Waiting(b"", b"")
        self.found: str | None = None

    async def heartbeat(self) -> None:
        """Keep the claim for as long as the run lasts."""
        while True:
            await asyncio.sleep(HEARTBEAT.total_seconds())
            await self.state.heartbeat(self.claim, self.tally.counts(), self.progress.now())

    async def steps(self, staging: Path) -> Ending:
        """The run between claim and finish."""
        if not await self.fresh():
            return NOT_FRESH
        if self.spec.all_columns is not None:
            mappings = selection.expand(self.spec, (await self.columns()).names, self.payload)
            self.spec = self.spec.model_copy(update={"mappings": list(mappings), "all_columns": None})
        if found := contradictions.problems(self.spec, self.destination.capabilities):
            raise InvalidInput("; ".join(found)[:MESSAGE_MAX])
        documented = self.destination.capabilities.rate
        if documented is not None and self.spec.destination.rate_limit is None:
            account = self.spec.destination.model_copy(update={"rate_limit": documented})
            self.spec = self.spec.model_copy(update={"destination": account})
        self.target = replace(target(self.spec), began=self.began)
        try:
            await self.destination.open(self.target)
            with naming_exhaustion(), workspace(staging) as work:
                staged = await self.read(work)
                changes, snapshot = await self.compare(staged, work)
                if ending := await self.judge(changes, snapshot, work):
                    return ending
                return await self.write(changes, work)
        except (InvalidInput, DestinationError) as error:
            if self.spec.run.mode == "Plan":
                await self.save_plan(plan_hash="", notes=[str(error)], schema=await self.columns())
            raise
        finally:
            await self.destination.close()

    async def fresh(self) -> bool:
        """Whether the source has anything new, if the run depends on that (raises InvalidInput, SourceError)."""
        run, gate = self.spec.run, self.spec.freshness
        if gate is None or run.tick is None or run.mode != "Sync" or run.full_refresh:
            return True
        found = await in_thread(
            lambda: freshness.ask(self.source, gate.sql), stop=self.stop, interrupt=self.source.cancel
        )
        kept = self.claim.notes.freshness
        if found is None or not found.newer_than(freshness.Value.read(kept) if kept else None):
            return False
        self.found = str(found)
        return True

    async def read(self, work: Workspace) -> Staged:
        """extract, map, stage: the rows, as they would be sent."""
        self.progress.step("extract", None)
        run = self.spec.run
        if run.replay is not None and run.replay.payload == "Stored":
            kept = self.state.letters(self.claim, run.replay)
            return await replay.stage_kept(self.spec, self.source, kept, self.compile, work)
        detection = self.spec.change_detection
        reads_all = run.full_refresh or run.mode == "Replay"
        window = None if reads_all else cursors.window(detection, self.claim.notes.watermark)
        return await stage(
            self.spec.model_copy(update={"query": self.spec.query.model_copy(update={"window": window})}),
            self.source,
            self.compile,
            work,
            stop=self.stop,
            read=lambda rows: self.progress.advanced("extract", rows),
        )

    def compile(self, schema: pa.Schema) -> Projection:
        """The mappings, for rows with these columns (raises InvalidInput)."""
        return compile_mapping(self.spec, schema, self.claim.salt, self.payload, self.began)

    async def compare(self, staged: Staged, work: Workspace) -> tuple[Changes, Snapshot]:
        """diff: what there is to do."""
        self.progress.step("diff", staged.rows)
        parts = self.state.snapshot(self.claim)
        snapshot = await fetch(parts, work.file("snapshot.parquet"), records=self.semantics == "mirror")
        self.waiting = await self.state.waiting(self.claim)
        chosen = await replay.chosen(self.state, self.claim, self.spec.run)
        detection = self.spec.change_detection
        rules = Rules(
            semantics=self.semantics,
            resend=self.spec.run.full_refresh or detection.strategy == "None" or self.sends_every_row,
            complete=staged.complete,
            replay=self.spec.run.mode == "Replay",
            kept=not staged.schema.names,
        )
        with work.database.cursor() as cursor:
            changes = await self.in_thread(lambda: diff(staged, snapshot, self.waiting, cursor, rules, chosen), cursor)
        self.tally.judged(changes)
        self.progress.counted(self.tally.counts())
        return changes, snapshot

    async def judge(self, changes: Changes, snapshot: Snapshot, work: Workspace) -> Ending | None:
        """guard: how the run ends before anything is written, or None if it goes on."""
        anew = self.claim.previous not in (None, self.baseline)
        found = guards.verdicts(self.spec.guards, changes, self.semantics, anew=anew)
        breach, approved = guards.breach(found), self.spec.run.approved_plan
        planning = self.spec.run.mode == "Plan"
        if not planning and breach is None and (approved is None or not changes.to_send):
            return None
        digest = await asyncio.to_thread(plan.plan_hash, self.baseline, snapshot, changes, work)
        if not planning and approved == digest:
            return None
        planned = replace(self.tally)
        planned.wrote(created=changes.created, updated=changes.updated, deleted=changes.deleted)
        await self.save_plan(
            plan_hash=digest,
            counts=planned.final(),
            samples=await asyncio.to_thread(plan.samples, self.spec, changes, work),
            notes=self.changed_since(),
            schema=changes.staged.schema,
            guards=found,
            estimate=plan.estimate(self.spec, changes, self.batch_size(changes, self.batching(changes))),
        )
        if planning:
            self.tally.wrote(created=planned.created, updated=planned.updated, deleted=planned.deleted)
            return Ending("Succeeded", message=f"would be held: {breach}" if breach else "", plan_hash=digest)
        if approved is not None:
            moved = f"plan {approved} was approved, but the rows have changed since; approve plan {digest}"
            breach = f"{moved}: {breach}" if breach else moved
        if self.spec.guards.on_breach == "Fail":
            return Ending("Failed", "GuardBreached", breach or "", plan_hash=digest)
        return Ending("AwaitingApproval", "GuardBreached", breach or "", plan_hash=digest)

    async def save_plan(self, *, schema: pa.Schema, **known: Any) -> None:
        """Keep what this run would do, for people to look at, with what has drifted since the last run."""
        fields, can = await self.destination.fields(), self.destination.capabilities
        drift = plan.drift(self.claim.notes.columns, schema, self.spec, fields, can)
        identity = {"run": self.spec.run.name, "sync": self.spec.sync.name, "namespace": self.spec.sync.namespace}
        document = Plan(**identity, mode=self.spec.mode, drift=drift, **known)
        await self.state.save_plan(self.claim, document.model_dump_json(by_alias=True).encode())

    def changed_since(self) -> list[str]:
        """What is to be said of a sync whose definition changed since its last run, or that never ran."""
        now = mapping_fingerprint(self.spec.mappings)
        return notes(self.claim.previous, self.baseline, self.claim.notes.mapping, now)

    async def columns(self) -> pa.Schema:
        """What the query returns (raises SourceError)."""
        return await asyncio.to_thread(self.source.columns, self.spec.query)

    async def write(self, changes: Changes, work: Workspace) -> Ending:
        """deliver and commit: send the changes, make durable what became of them."""
        committer = Committer(
            self.state,
            self.claim,
            self.tally,
            records=self.semantics == "mirror",
            letters=bool(self.waiting.keys or self.waiting.dismissed_keys),
        )
        letters = Letters(self.spec, changes.staged.mapping, work)
        deliverer = Deliverer(
            self.spec,
            self.destination,
            self.target,
            state=self.state,
            claim=self.claim,
            mapping=changes.staged.mapping,
            letters=letters,
            tally=self.tally,
            committer=committer,
            progress=self.progress,
            stop=self.stop,
            to_send=changes.to_send,
        )
        held = ""

        async def deliver() -> None:
            nonlocal held
            self.progress.step("deliver", changes.to_send)
            await deliverer.resume()
            await self.settle(changes, committer, letters, work)
            operation = self.spec.mode if self.semantics != "mirror" else "upsert"
            async with aclosing(self.chunks(changes, changes.rows([DOUBTFUL]), operation, work)) as doubtful:
                await deliverer.run_doubtful(doubtful)
            wanted = [DELETE] if self.semantics == "delete" else [CREATE, UPDATE]
            way = self.batching(changes)
            async with aclosing(self.chunks(changes, changes.rows(wanted, sent=True), operation, work, way)) as valid:
                await deliverer.run(valid, asynchronous=way.asynchronous)
            if self.semantics == "mirror" and (changes.deleted or self.sends_every_row):
                held = why_held(changes, deliverer.all_acknowledged, over=deliverer.over)
                if not held:
                    way = self.destination.batching("delete", changes.deleted)
                    async with aclosing(
                        self.chunks(changes, changes.gone_rows(DELETE), "delete", work, way, gone=True)
                    ) as gone:
                        await deliverer.run(gone, asynchronous=way.asynchronous)
                    if self.sends_every_row and deliverer.all_acknowledged and not deliverer.over:
                        await deliverer.complete()
            await deliverer.forget_resumed()
            if not deliverer.over:
                await committer.add(notes=await asyncio.to_thread(self.notes, changes, deliverer, work))
            self.progress.step("commit", None)
            await committer.close()

        await beside(deliver(), committer.run())
        await self.compact(changes, committer, work)
        if deliverer.halt is not None:
            return Ending.failed(deliverer.halt, self.spec)
        if deliverer.over and not deliverer.finished:
            return CANCELLED
        told = self.changed_since() if self.claim.previous is not None else []
        return Ending("Succeeded", message="; ".join([*told, *([held] if held else []), *respelled(changes)]))

    async def settle(self, changes: Changes, committer: Committer, letters: Letters, work: Workspace) -> None:
        """What is known without asking the destination."""
        if changes.settled:
            async with aclosing(self.chunks(changes, changes.rows(["settled"]), "", work)) as settled:
                async for chunk in settled:
                    await committer.add(resolved=chunk.origins)
        if self.waiting.keys:
            await committer.add(resolved=await asyncio.to_thread(_read_hashes, changes.vanished, "p", work))
        if changes.forgotten:
            keys = await asyncio.to_thread(_read_hashes, changes.gone, "k", work)
            await committer.add(keys=keys, rows=GONE * changes.forgotten)
        async with aclosing(self.chunks(changes, changes.rows(["invalid"]), self.spec.mode, work)) as invalid:
            async for chunk in invalid:
                await committer.add(letters=letters.invalid(chunk))

    def notes(self, changes: Changes, deliverer: Deliverer, work: Workspace) -> Notes:
        """What the sync remembers of this run; blocks."""
        before, staged = self.claim.notes, changes.staged
        if not staged.schema.names:  # kept payloads were sent, the query did not run
            return before
        watermark = before.watermark
        if self.spec.change_detection.column is not None and self.spec.run.mode != "Replay":
            with work.database.cursor() as cursor:
                found = cursors.watermark(staged.path, changes.path, deliverer.smallest_refused, cursor)
            watermark = found or watermark
        return Notes(
            mapping=mapping_fingerprint(self.spec.mappings),
            columns={field.name: str(field.type) for field in staged.schema},
            watermark=watermark,
            freshness=self.found or before.freshness,
        )

    @property
    def sends_every_row(self) -> bool:
        """Whether the mode sends all rows each time, and drops at the end what was not sent."""
        return self.spec.mode in self.destination.capabilities.every_row

    def batching(self, changes: Changes) -> Batching:
        """How the rows of the query travel."""
        operation = self.spec.mode if self.semantics != "mirror" else "upsert"
        gone = changes.deleted if self.semantics == "mirror" else 0
        return self.destination.batching(operation, changes.to_send - gone)

    def batch_size(self, changes: Changes, way: Batching) -> int:
        """Records in one call: as many as are wanted and allowed, or fewer where they are wide."""
        wanted = min(self.spec.delivery.batch_size or way.records, way.most)
        return min(wanted, max(1, (way.bytes or BATCH_BYTES) // max(1, changes.staged.row_bytes)))

    async def chunks(
        self,
        changes: Changes,
        rows: str,
        operation: str,
        work: Workspace,
        way: Batching | None = None,
        *,
        gone: bool = False,
    ) -> AsyncGenerator[Chunk, None]:
        """Rows in the batches that they travel in; ends early when the run is stopped."""
        can = self.destination.capabilities
        way = way or Batching(can.default_batch, can.max_batch)
        size = self.batch_size(changes, way)
        most = min(BLOCK_ROWS, BLOCK_BYTES // max(1, changes.staged.row_bytes))
        block_rows = max(1, most // size) * size
        with work.database.cursor() as cursor:
            try:
                reader = await self.in_thread(lambda: cursor.sql(rows).to_arrow_reader(block_rows), cursor)
                while block := await self.in_thread(lambda: next(iter(reader), None), cursor):
                    for slice_ in Chunk(block, operation, gone).slices(size):
                        for chunk in slice_.within(way.bytes):
                            yield chunk
            except Stopped:
                return

    async def compact(self, changes: Changes, committer: Committer, work: Workspace) -> None:
        """Put the parts of the snapshot together, so that the next run need not read many small ones."""
        small = changes.parts - changes.known // PART_ROWS + committer.parts
        if small <= MAX_PARTS or self.stop.is_set():
            return
        parts_now = self.state.snapshot(self.claim)
        snapshot = await fetch(parts_now, work.file("parts.parquet"), records=self.semantics == "mirror")
        if not changes.parts and self.tally.created == changes.staged.rows:
            snapshot = replace(snapshot, repeats=False)  # each row was written once, and nothing else was committed
        merged = await asyncio.to_thread(merge, snapshot, work)
        await self.state.compact(self.claim, merged, snapshot.last)

    async def in_thread(self, work: Callable[[], R], cursor: duckdb.DuckDBPyConnection) -> R:
        """Blocking work on a cursor, that a stop interrupts."""
        return await in_thread(work, stop=self.stop, interrupt=cursor.interrupt)


def target(spec: RunSpec) -> Target:
    """Where the records of a run go."""
    return Target(
        object=spec.object,
        mode=spec.mode,
        key=tuple(m.destination for m in spec.mappings if m.key),
        fields=tuple(m.destination for m in spec.mappings),
        timeout=spec.delivery.timeout,
        skip_nulls=frozenset(m.destination for m in spec.mappings if m.skip_nulls),
        only_if_empty=frozenset(m.destination for m in spec.mappings if m.only_if_empty),
    )


def why_held(changes: Changes, all_acknowledged: bool, *, over: bool) -> str:
    """Why a mirror deletes nothing this time, for people; empty if it may."""
    if over:
        return ""
    if not all_acknowledged:
        return f"{changes.deleted} deletes were held back, because not every record was acknowledged"
    if changes.unidentified:
        return (
            f"{changes.deleted} deletes were held back: {changes.unidentified} rows are invalid or wait as dead "
            "letters, and each may be one of the records that seem to be gone"
        )
    return ""


def respelled(changes: Changes) -> list[str]:
    """What is said of records that a mirror leaves alone, because another spelling of their key is there."""
    if not changes.respelled:
        return []
    return [f"{changes.respelled} records were left alone: other rows have their keys in another spelling"]


def _read_hashes(path: Path, column: str, work: Workspace) -> bytes:
    with work.database.cursor() as cursor:
        found = cursor.sql(f"SELECT CAST({column} AS BLOB) FROM read_parquet('{path}')").fetchall()
    return b"".join(value for (value,) in found)
