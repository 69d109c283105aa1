"""What the REST API shows and changes beside what StateReader has: runs as one list, by pages, and dead letters by uid.

Every page is read along an index from where the page before ended, so that the thousandth costs what the first does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, literal, or_, select, tuple_, union_all

from retl.state import asked_before, dead_letters, letter_pages
from retl.state.database import Database
from retl.state.runs import SHOWN, values_of
from retl.state.sealing import Sealer
from retl.state.store import DeadLetter, RunRecord, RunState
from retl.state.tables import UtcDateTime, runs, syncs

_r = runs.c


@dataclass(frozen=True, slots=True)
class RunsAsked:
    """Which runs, newest first.

    Attributes:
        states: empty for all. Failed takes those with it whose runner vanished.
        after: `created_at` and `uid` of the last run of the page before.
    """

    namespace: str
    limit: int
    sync_uid: str | None = None
    states: frozenset[RunState] = frozenset()
    after: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow(RunRecord):
    """A run as the history has it.

    Attributes:
        created_at: when its SyncRun was made; where nobody said, when it started.
        triggered_by: id of the caller of the API who asked for it; None where nobody said.
        tick: the moment of the schedule that it answers.
        plan_hash: of what it planned to write; empty if it planned nothing.
    """

    created_at: datetime
    triggered_by: UUID | None
    full_refresh: bool
    tick: datetime | None
    plan_hash: str


class History:
    """A part of SqlStateStore, which has the database open."""

    _database: Database
    _sealer: Sealer
    _clock: Callable[[], datetime]
    _made: datetime | None

    async def history(self, asked: RunsAsked) -> list[RunRow]:
        """A page of runs, by `created_at` and `uid`, the greatest first."""
        return await self._database.read(_page, asked, self._made, self._clock())

    async def run_of(self, namespace: str, *, uid: str | None = None, name: str | None = None) -> RunRow | None:
        """One run by its uid or name; the newest of those that had the name."""
        return await self._database.read(_one, namespace, uid, name, self._made, self._clock())

    async def letter_page(self, asked: letter_pages.Asked) -> list[DeadLetter]:
        """As StateReader.dead_letters, and for a sync by its uid."""
        return await self._database.read(letter_pages.page, replace(asked, made=self._made), self._sealer)

    async def letter_statistics(
        self, namespace: str, sync_uid: str | None = None, since: datetime | None = None
    ) -> tuple[dict[str, int], int]:
        """Open entries by code, only codes that have any; and how many are resolved.

        Args:
            since: only entries that were last seen, or resolved, then or later.
        """
        return await self._database.read(letter_pages.counted, namespace, sync_uid, since, self._made)

    async def letters_named(self, namespace: str, ids: Sequence[str]) -> list[letter_pages.NamedLetter]:
        """Those of the entries that the namespace has, in no order."""
        return await self._database.read(letter_pages.named, namespace, ids, self._made)

    async def resolve_as(self, namespace: str, ids: Sequence[str], reason: str, by: str, replay: bool) -> datetime:
        """Dismiss open entries; for a replay only note what was said of them: they stay open until it has written them.

        Entries that are resolved or not known are passed over. One transaction a sync.

        Args:
            reason: what the person said.
            by: their id.
        Returns:
            When that was.
        """
        now = self._clock()
        said = dead_letters.Said(reason, by)
        for sync_uid, some in (await self.open_by_sync(namespace, ids)).items():
            if replay:
                await self._database.run(dead_letters.note, sync_uid, some, said)
            else:
                await self._database.run(dead_letters.dismiss, sync_uid, some, now, said)
        return now

    async def body_asked(self, key: str) -> str | None:
        """Digest of the body that a request's key came with first; None if it did not come in the last 30 days."""
        return await self._database.read(asked_before.body, key)

    async def note_asked(self, key: str, body: str) -> None:
        """Remember the key of a request, unless it is known."""
        await self._database.run(asked_before.note, key, body, self._clock())

    async def open_by_sync(self, namespace: str, ids: Sequence[str]) -> dict[str, list[str]]:
        """Those of the entries that are open, by uid of their sync."""
        found: dict[str, list[str]] = {}
        for letter in await self.letters_named(namespace, ids):
            if letter.open:
                found.setdefault(letter.sync_uid, []).append(letter.id)
        return found


def _page(connection: Connection, asked: RunsAsked, made: datetime | None, now: datetime) -> list[RunRow]:
    where = [_r.namespace == asked.namespace]
    if asked.sync_uid is not None:  # of the sync's namespace, so that no index of runs by namespace looks better
        where = [syncs.c.namespace == asked.namespace, _r.sync_uid == asked.sync_uid]
    if made is not None:
        where.append(_r.created_at >= made)
    if asked.after is not None:
        moment, uid = asked.after
        where.append(tuple_(_r.created_at, _r.uid) < tuple_(literal(moment, UtcDateTime()), uid))
    lists = [_list(now).where(*where, *narrowed) for narrowed in _narrowed(asked.states, now)]
    newest = [found.order_by(_r.created_at.desc(), _r.uid.desc()).limit(asked.limit) for found in lists]
    rows = connection.execute(union_all(*(select(found.subquery()) for found in newest))).all()
    ordered = sorted(rows, key=lambda row: (row.created_at, row.uid), reverse=True)
    return [_row(row) for row in ordered[: asked.limit]]


def _one(
    connection: Connection, namespace: str, uid: str | None, name: str | None, made: datetime | None, now: datetime
) -> RunRow | None:
    found = _list(now).where(_r.namespace == namespace).limit(1)
    if made is not None:
        found = found.where(_r.created_at >= made)
    if uid is not None:
        found = found.where(_r.uid == uid)
    else:
        found = found.where(_r.name == name).order_by(_r.created_at.desc(), _r.uid.desc())
    row = connection.execute(found).one_or_none()
    return None if row is None else _row(row)


def _list(now: datetime) -> Select[Any]:
    """Runs, each with its sync's name, and whether its runner has vanished, and when that was heard of last."""
    lapsed = and_(_r.state == "Running", _lapsed(now)).label("vanished")
    return select(*SHOWN, syncs.c.name.label("sync"), syncs.c.heartbeat_at, lapsed).join(
        syncs, syncs.c.uid == _r.sync_uid
    )


def _lapsed(now: datetime) -> ColumnElement[bool]:
    """As claims.lapsed, but for processes of this host: where the API runs, runners are elsewhere."""
    return or_(syncs.c.lease_until.is_(None), syncs.c.lease_until <= literal(now, UtcDateTime()))


def _narrowed(states: frozenset[RunState], now: datetime) -> list[tuple[ColumnElement[bool], ...]]:
    """One list for each way in which a run lies in the table that is asked for: each is in the order of an index."""
    if not states:
        return [()]
    vanished = bool(states & {"Failed", "Interrupted"})
    plain = (states - {"Running"}) | ({"Interrupted"} if vanished else set())
    lists: list[tuple[ColumnElement[bool], ...]] = [(_r.state == state,) for state in sorted(plain)]
    if "Running" in states:
        lists.append((_r.state == "Running", ~_lapsed(now)))
    if vanished:
        lists.append((_r.state == "Running", _lapsed(now)))
    return lists


def _row(row: Row[Any]) -> RunRow:
    values = values_of(row)
    if row.vanished:
        values |= {"state": "Interrupted", "finished_at": row.heartbeat_at}
    return RunRow(
        **values,
        created_at=row.created_at,
        triggered_by=None if row.triggered_by is None else UUID(row.triggered_by),
        full_refresh=row.full_refresh,
        tick=row.tick,
        plan_hash=(row.result or {}).get("planHash") or "",
    )
