"""Looking at dead letters: pages, single entries, statistics. All of it quick with a million entries.

A page is put together from the heads of several lists, each in the order of an index: open entries have one for each
code, so that a rare code is found as fast as a frequent one; resolved ones have one for each sync.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, TextClause, func, literal, select, tuple_, union_all

from retl.errors import InvalidInput
from retl.state.letter_rows import LetterSealer
from retl.state.sealing import Sealer
from retl.state.store import DeadLetter, Statistics
from retl.state.tables import OPEN, RESOLVED, UtcDateTime, dead_letters, letter_counts, syncs

Where = tuple[ColumnElement[bool] | TextClause, ...]
LISTS_A_STATEMENT = 100
_d, _c = dead_letters.c, letter_counts.c
_SHOWN = tuple(column for column in _d if column.name not in {"payload", "key_hash", "row_hash", "record_hash"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page is asked for; as in StateReader.dead_letters."""

    namespace: str
    sync: str | None
    resolved: bool
    code: str | None
    since: datetime | None
    limit: int
    after: str | None


def page(connection: Connection, asked: Asked, sealer: Sealer) -> list[DeadLetter]:
    """Entries, newest first; without their payloads."""
    moment = _d.resolved_at if asked.resolved else _d.last_seen_at
    narrowed = [] if asked.since is None else [moment >= asked.since]
    if asked.after is not None:
        narrowed.append(tuple_(moment, _d.id) < tuple_(*_position(asked.after)))
    found: list[Row[Any]] = []
    lists = [(*where, *narrowed) for where in (_resolved_lists if asked.resolved else _open_lists)(connection, asked)]
    for start in range(0, len(lists), LISTS_A_STATEMENT):
        found += _heads(connection, lists[start : start + LISTS_A_STATEMENT], moment, asked.limit)
    found.sort(key=lambda row: (row.resolved_at if asked.resolved else row.last_seen_at, row.id), reverse=True)
    shown = found[: asked.limit]
    named = select(syncs.c.uid, syncs.c.name).where(syncs.c.uid.in_({row.sync_uid for row in shown}))
    names = {sync.uid: sync.name for sync in connection.execute(named)}
    return [_entry(row, names[row.sync_uid], sealer) for row in shown]


def one(connection: Connection, namespace: str, id: str, sealer: Sealer) -> DeadLetter | None:
    """An entry with its payload; None if the namespace has none of that id."""
    found = (
        select(*_SHOWN, _d.payload, syncs.c.name.label("sync"))
        .join(syncs, syncs.c.uid == _d.sync_uid)
        .where(_d.namespace == namespace, _d.id == id)
    )
    row = connection.execute(found).one_or_none()
    return None if row is None else _entry(row, row.sync, sealer, row.payload)


def statistics(connection: Connection, namespace: str, sync: str | None) -> Statistics:
    """Numbers over the entries of a namespace or sync."""
    of_syncs = [syncs.c.namespace == namespace, *([] if sync is None else [syncs.c.name == sync])]
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


def _open_lists(connection: Connection, asked: Asked) -> list[Where]:
    in_use = select(syncs.c.uid, _c.code).join(syncs, syncs.c.uid == _c.sync_uid).where(_c.open > 0)
    in_use = in_use.where(syncs.c.namespace == asked.namespace)
    if asked.sync is not None:
        in_use = in_use.where(syncs.c.name == asked.sync)
    if asked.code is not None:
        in_use = in_use.where(_c.code == asked.code)
    found = connection.execute(in_use).all()
    if asked.sync is not None:
        return [(_d.sync_uid == row.uid, _d.code == row.code, OPEN) for row in found]
    return [(_d.namespace == asked.namespace, _d.code == code, OPEN) for code in sorted({row.code for row in found})]


def _resolved_lists(connection: Connection, asked: Asked) -> list[Where]:
    named = select(syncs.c.uid).where(syncs.c.namespace == asked.namespace)
    if asked.sync is not None:
        named = named.where(syncs.c.name == asked.sync)
    code = [] if asked.code is None else [_d.code == asked.code]
    return [(_d.sync_uid == uid, RESOLVED, *code) for uid in connection.execute(named).scalars()]


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
    )


def _position(cursor: str) -> tuple[ColumnElement[datetime], ColumnElement[str]]:
    moment, _, id = cursor.partition("_")
    try:
        return literal(datetime.fromisoformat(moment), UtcDateTime()), literal(id)
    except ValueError:
        raise InvalidInput("after: is no cursor; give the one of the last entry of the page before") from None
