"""The dead letters of a workspace: looked at, closed, and sent again.

They live in the state database, which knows nothing of people: what somebody may do is asked of the API server first.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from retl.resources.run import Replay
from retl.rest.callers.caller import COUNT_LETTERS, READ_LETTERS, RESOLVE_LETTERS
from retl.rest.problems import FieldError, Problem
from retl.rest.service import idempotency, naming
from retl.rest.service.runs import RunsOfWorkspace
from retl.rest.service.values import (
    LetterFilter,
    LetterRecord,
    LetterStatistics,
    Page,
    PageAsked,
    Resolved,
    RunOrder,
    RunRecord,
    Write,
)
from retl.state import letter_pages
from retl.state.store import DeadLetter

_AT_ONCE = 4
"""Runs that are created at the same time."""
_DISMISSED = "dismissed"


@dataclass(slots=True)
class _OfSync:
    """Those entries of a sync that were named."""

    name: str
    open: list[str] = field(default_factory=list)


class LettersOfWorkspace(RunsOfWorkspace):
    """The Letters of the interface."""

    async def letters(self, which: LetterFilter, page: PageAsked) -> Page[LetterRecord]:
        await self._cluster.require(READ_LETTERS)
        asked = letter_pages.Asked(
            namespace=self.place.namespace,
            sync=None,
            resolved=which.resolved,
            code=which.code,
            since=which.since,
            limit=page.limit + 1,
            after=page.after,
            sync_uid=str(which.sync) if which.sync else None,
        )
        found = await self._state().letter_page(asked)
        shown = found[: page.limit]
        return Page([_record(each) for each in shown], shown[-1].cursor if len(found) > page.limit else None)

    async def letter_statistics(self, sync: UUID | None, since: datetime | None) -> LetterStatistics:
        await self._cluster.require(COUNT_LETTERS)
        uid = str(sync) if sync else None
        by_code, resolved = await self._state().letter_statistics(self.place.namespace, uid, since)
        return LetterStatistics(sum(by_code.values()), resolved, by_code, datetime.now(UTC))

    async def resolve(self, ids: Sequence[UUID], resolution: str, *, replay: bool, how: Write) -> Resolved:
        await self._cluster.require(RESOLVE_LETTERS)
        async with self._once(how) as again:
            return await self._resolved(ids, resolution, replay, how, again)

    async def _resolved(self, ids: Sequence[UUID], resolution: str, replay: bool, how: Write, again: bool) -> Resolved:
        by_sync = await self._named_letters(ids)
        wanted = list(dict.fromkeys(ids))
        runs = await self._replays(by_sync, how) if replay else []
        at = datetime.now(UTC)
        if not how.dry_run:
            texts = [str(each) for each in wanted]
            by = str(self._cluster.caller.id)
            at = await self._state().resolve_as(self.place.namespace, texts, resolution, by, replay)
        return Resolved(wanted, runs, at, again)

    async def _named_letters(self, ids: Sequence[UUID]) -> Mapping[UUID, _OfSync]:
        """The entries by their sync (raises Problem 422 unless all are there)."""
        found = {each.id: each for each in await self._state().letters_named(self.place.namespace, [*map(str, ids)])}
        errors = [
            FieldError("there is no such entry in this workspace", ("spec", "replay", "entries", index))
            for index, each in enumerate(ids)
            if str(each) not in found
        ]
        if errors:
            raise Problem(422, "invalid-input", "some entries are not there; nothing was done", errors=errors)
        by_sync: dict[UUID, _OfSync] = {}
        for letter in found.values():
            named = by_sync.setdefault(UUID(letter.sync_uid), _OfSync(letter.sync))
            named.open += [letter.id] if letter.open else []
        return by_sync

    async def _replays(self, by_sync: Mapping[UUID, _OfSync], how: Write) -> Sequence[RunRecord]:
        """One run for each sync that has open entries among them; all syncs are looked at before the first is run."""
        made = await asyncio.gather(*(self._replayed_before(uid, each, how) for uid, each in by_sync.items()))
        again = [run for run in made if run is not None]
        if again:
            return again
        due = {uid: each.open for uid, each in by_sync.items() if each.open}
        await asyncio.gather(*(self._runnable(uid) for uid in due))
        gate = asyncio.Semaphore(_AT_ONCE)

        async def send(uid: UUID, entries: Sequence[str]) -> RunRecord:
            async with gate:
                return await self.start(uid, RunOrder("Replay", replay=Replay(entries=sorted(entries))), how)

        return await asyncio.gather(*(send(uid, entries) for uid, entries in due.items()))

    async def _replayed_before(self, sync: UUID, letters: _OfSync, how: Write) -> RunRecord | None:
        """The run of the same request, made before: its entries may be closed by now."""
        request = idempotency.request(how, self._cluster.caller, self.place, f"start:Replay:{sync}")
        if request is None:
            return None
        return await self._run_made_before(naming.run_name(letters.name, request.suffix), request, sync)

    async def _runnable(self, sync: UUID) -> None:
        """Return if the sync can be run (raises Problem 409)."""
        try:
            self._ordered(await self._owner(sync), RunOrder("Replay"))
        except Problem as problem:
            if problem.status != 404:
                raise
            detail = "a sync of these entries is gone, so that they cannot be sent again; resolve them without a replay"
            raise Problem(409, "conflict", detail) from None


def _record(letter: DeadLetter) -> LetterRecord:
    closed_by_person = letter.resolution == _DISMISSED and letter.reason
    return LetterRecord(
        uid=UUID(letter.id),
        sync=UUID(letter.sync_uid),
        run=UUID(letter.run_uid) if letter.run_uid else None,
        code=letter.code,
        message=letter.message,
        record_keys=letter.record_keys,
        attempts=letter.attempts,
        first_seen_at=letter.first_seen_at,
        last_seen_at=letter.last_seen_at,
        resolved_at=letter.resolved_at,
        resolution=(letter.reason if closed_by_person else letter.resolution) or "",
    )
