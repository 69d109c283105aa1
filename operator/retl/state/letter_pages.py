"""Looking at dead letters: pages, single entries, statistics. All of it quick with a million entries.

A page is put together from the heads of several lists, each in the order of an index. There is one for each code, so
that a rare code is found as fast as a frequent one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    TextClause,
    func,
    literal,
    select,
    tuple_,
    union_all,
)

from retl.errors import InvalidInput
from retl.state.letter_rows import LetterSealer
from retl.state.sealing import Sealer
from retl.state.store import DeadLetter, Statistics
from retl.state.tables import OPEN, RESOLVED, UtcDateTime, dead_letters, letter_counts, runs, syncs

Where = tuple[ColumnElement[bool] | TextClause, ...]
LISTS_A_STATEMENT = 100
_CLOCKS_DIFFER = timedelta(days=1)
"""At most; entries are dated by another clock than namespaces."""
_d, _c = dead_letters.c, letter_counts.c
_SHOWN = tuple(column for column in _d if column.name not in {"payload", "key_hash", "row_hash", "record_hash"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page is asked for; as in StateReader.dead_letters.

    Attributes:
        sync_uid: of one sync, which may have had its name after others.
        made: when the namespace was; see SqlStateStore.since.
    """

    namespace: str
    sync: str | None
    resolved: bool
    code: str | None
    since: datetime | None
    limit: int
    after: str | None
    sync_uid: str | None = None
    made: datetime | None = None


class NamedLetter(NamedTuple):
    """An entry that somebody named, and whether it is open."""

    id: str
    sync_uid: str
    sync: str
    open: bool


def page(connection: Connection, asked: Asked, sealer: Sealer) -> list[DeadLetter]:
    """Entries, newest first; without their payloads."""
    moment = _d.resolved_at if asked.resolved else _d.last_seen_at
    gone = _gone(connection, asked.namespace, asked.made)
    narrowed = [] if asked.since is None else [moment >= asked.since]
    if gone is not None and asked.made is not None:  # the moment spares the walk through entries that are not shown
        narrowed += [_d.sync_uid.not_in(gone), moment >= asked.made - _CLOCKS_DIFFER]
    if asked.after is not None:
        narrowed.append(tuple_(moment, _d.id) < tuple_(*_position(asked.after)))
    found: list[Row[Any]] = []
    lists = [(*where, *narrowed) for where in _lists(connection, asked)]
    for start in range(0, len(lists), LISTS_A_STATEMENT):
        found += _heads(connection, lists[start : start + LISTS_A_STATEMENT], moment, asked.limit)
    found.sort(key=lambda row: (row.resolved_at if asked.resolved else row.last_seen_at, row.id), reverse=True)
    shown = found[: asked.limit]
    named = select(syncs.c.uid, syncs.c.name).where(syncs.c.uid.in_({row.sync_uid for row in shown}))
    names = {sync.uid: sync.name for sync in connection.execute(named)}
    return [_entry(row, names[row.sync_uid], sealer) for row in shown]


def one(connection: Connection, namespace: str, id: str, made: datetime | None, sealer: Sealer) -> DeadLetter | None:
    """An entry with its payload; None if the namespace has none of that id."""
    found = (
        select(*_SHOWN, _d.payload, syncs.c.name.label("sync"))
        .join(syncs, syncs.c.uid == _d.sync_uid)
        .where(_d.id == id, *_syncs(namespace, gone=_gone(connection, namespace, made)))
    )
    row = connection.execute(found).one_or_none()
    return None if row is None else _entry(row, row.sync, sealer, row.payload)


def statistics(connection: Connection, namespace: str, sync: str | None, made: datetime | None) -> Statistics:
    """Numbers over the entries of a namespace or sync."""
    of_syncs = _syncs(namespace, sync, gone=_gone(connection, namespace, made))
    dropped = connection.execute(select(func.coalesce(func.sum(syncs.c.dropped), 0)).where(*of_syncs)).scalar_one()
    counted = connection.execute(
        select(syncs.c.uid, syncs.c.name, _c.code, _c.open, _c.resolved)
        .join(syncs, syncs.c.uid == _c.sync_uid)
        .where(*of_syncs)
    ).all()
    by_code: dict[str, int] = {}
    by_sync: dict[str, int] = {}
    for row in counted:
        if row.open:
            by_code[row.code] = by_code.get(row.code, 0) + row.open
            by_sync[row.name] = by_sync.get(row.name, 0) + row.open
    return Statistics(
        open=sum(row.open for row in counted),
        resolved=sum(row.resolved for row in counted),
        dropped=int(dropped),
        by_code=by_code,
        by_sync=by_sync,
        oldest=_oldest(connection, sorted({row.uid for row in counted if row.open})),
    )


def counted(
    connection: Connection, namespace: str, sync_uid: str | None, since: datetime | None, made: datetime | None
) -> tuple[dict[str, int], int]:
    """Open entries by code, and how many are resolved: all, or those that were seen, or resolved, since a moment."""
    gone = _gone(connection, namespace, made)
    found = (
        select(_c.code, func.sum(_c.open).label("open"), func.sum(_c.resolved).label("resolved"))
        .join(syncs, syncs.c.uid == _c.sync_uid)
        .where(*_syncs(namespace, uid=sync_uid, gone=gone))
        .group_by(_c.code)
    )
    codes = connection.execute(found).all()
    opened = {row.code: int(row.open) for row in codes if row.open}
    resolved = {row.code: int(row.resolved) for row in codes if row.resolved}
    if since is not None:
        mine = [_d.namespace == namespace if sync_uid is None else _d.sync_uid == sync_uid]
        mine += [] if gone is None else [_d.sync_uid.not_in(gone)]
        opened = _recent(connection, (*mine, OPEN, _d.last_seen_at >= since), opened)
        resolved = _recent(connection, (*mine, RESOLVED, _d.resolved_at >= since), resolved)
    return opened, sum(resolved.values())


def _recent(connection: Connection, where: Where, codes: Iterable[str]) -> dict[str, int]:
    """How many entries there are of each code; named, so that an index answers that begins with the code."""
    found = select(_d.code, func.count()).where(*where, _d.code.in_(sorted(codes))).group_by(_d.code)
    return {code: int(number) for code, number in connection.execute(found)}


def named(connection: Connection, namespace: str, ids: Sequence[str], made: datetime | None) -> list[NamedLetter]:
    """Those of the entries that the namespace has, in no order."""
    found = (
        select(_d.id, _d.sync_uid, syncs.c.name, _d.resolved_at.is_(None))
        .join(syncs, syncs.c.uid == _d.sync_uid)
        .where(_d.id.in_(ids), *_syncs(namespace, gone=_gone(connection, namespace, made)))
    )
    return [NamedLetter(*row) for row in connection.execute(found)]


def _oldest(connection: Connection, sync_uids: Sequence[str]) -> datetime | None:
    """When the oldest open entry was first seen."""
    firsts: list[datetime] = []
    for start in range(0, len(sync_uids), LISTS_A_STATEMENT):
        lists = [
            select(
                select(_d.first_seen_at).where(_d.sync_uid == uid, OPEN).order_by(_d.first_seen_at).limit(1).subquery()
            )
            for uid in sync_uids[start : start + LISTS_A_STATEMENT]
        ]
        firsts += connection.execute(union_all(*lists)).scalars().all()
    return min(firsts, default=None)


def _lists(connection: Connection, asked: Asked) -> list[Where]:
    """What to look for: the entries of each code that there are any of, in the namespace or in each sync."""
    state, number = (RESOLVED, _c.resolved) if asked.resolved else (OPEN, _c.open)
    in_use = [number > 0, *_syncs(asked.namespace, asked.sync, asked.sync_uid)]
    if asked.code is not None:
        in_use.append(_c.code == asked.code)
    counts = letter_counts.join(syncs, syncs.c.uid == _c.sync_uid)
    if asked.sync is None and asked.sync_uid is None:
        codes = connection.execute(select(_c.code).distinct().select_from(counts).where(*in_use)).scalars()
        return [(_d.namespace == asked.namespace, _d.code == code, state) for code in codes]
    of_syncs = connection.execute(select(_c.sync_uid, _c.code).select_from(counts).where(*in_use))
    return [(_d.sync_uid == row.sync_uid, _d.code == row.code, state) for row in of_syncs]


def _syncs(
    namespace: str, name: str | None = None, uid: str | None = None, gone: Select[tuple[str]] | None = None
) -> list[ColumnElement[bool]]:
    """The syncs of a namespace, or those of a name or uid; without some."""
    narrowed = [column == value for column, value in ((syncs.c.name, name), (syncs.c.uid, uid)) if value is not None]
    narrowed += [] if gone is None else [syncs.c.uid.not_in(gone)]
    return [syncs.c.namespace == namespace, *narrowed]


def _gone(connection: Connection, namespace: str, made: datetime | None) -> Select[tuple[str]] | None:
    """Uids of the syncs of a namespace that had this one's name before it; None where there was none.

    A sync is in one namespace for good, so that its runs tell: they are dated by the clock that dates namespaces.
    """
    if made is None:
        return None
    found = select(runs.c.sync_uid).where(runs.c.namespace == namespace, runs.c.created_at < made)
    return found if connection.execute(found.limit(1)).first() else None


def _heads(connection: Connection, lists: Sequence[Where], moment: Column[datetime], limit: int) -> list[Row[Any]]:
    heads = [
        select(select(*_SHOWN).where(*where).order_by(moment.desc(), _d.id.desc()).limit(limit).subquery())
        for where in lists
    ]
    return list(connection.execute(union_all(*heads)))


def _entry(row: Any, sync: str, sealer: Sealer, payload: bytes | None = None) -> DeadLetter:
    opener = LetterSealer(sealer, row.sync_uid)
    message, record_keys = opener.read_shown(row.shown)
    return DeadLetter(
        id=row.id,
        sync_uid=row.sync_uid,
        sync=sync,
        namespace=row.namespace,
        run=row.run,
        code=row.code,
        message=message,
        record_keys=record_keys,
        attempts=row.attempts,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        resolved_at=row.resolved_at,
        resolution=row.resolution,
        operation=row.operation,
        payload=opener.read_payload(payload),
        run_uid=row.run_uid,
        reason=row.reason,
    )


def _position(cursor: str) -> tuple[ColumnElement[datetime], ColumnElement[str]]:
    moment, _, id = cursor.partition("_")
    try:
        return literal(datetime.fromisoformat(moment).astimezone(UTC), UtcDateTime()), literal(id)
    except (ValueError, OverflowError):
        raise InvalidInput("after: is no cursor; give the one of the last entry of the page before") from None
