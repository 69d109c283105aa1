"""Forgetting what dead letters hold of a person.

What is sealed must be opened to be searched, so all entries are read, some at a time and without a lock; only those
that were found are then changed.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, select, update

from retl.state import letter_counts
from retl.state.dead_letters import lock
from retl.state.letter_rows import LetterSealer
from retl.state.sealing import Sealer
from retl.state.tables import dead_letters

READ_AT_ONCE = 2_000
_d = dead_letters.c


class Scanned(NamedTuple):
    """Some entries that were read.

    Attributes:
        last: id of the last; None when there are no more.
        found: ids of those that hold the value, by sync.
    """

    last: str | None
    found: dict[str, list[str]]


def scan(
    connection: Connection, sync_uids: Sequence[str], field: str, value: str, after: str, sealer: Sealer
) -> Scanned:
    """Read the next entries, by id, and find those that hold the value in that field."""
    rows = connection.execute(
        select(_d.id, _d.sync_uid, _d.shown, _d.payload)
        .where(_d.sync_uid.in_(sync_uids), _d.shown.is_not(None), _d.id > after)
        .order_by(_d.id)
        .limit(READ_AT_ONCE)
    ).all()
    found: dict[str, list[str]] = {}
    for row in rows:
        opener = LetterSealer(sealer, row.sync_uid)
        _, record_keys = opener.read_shown(row.shown)
        if record_keys.get(field) == value or _holds(opener.read_payload(row.payload), field, value):
            found.setdefault(row.sync_uid, []).append(row.id)
    return Scanned(rows[-1].id if rows else None, found)


def remove(connection: Connection, sync_uid: str, ids: Sequence[str]) -> None:
    """Delete entries; a dismissed one keeps its hashes, without which its row would be sent again."""
    lock(connection, sync_uid)
    mine = (_d.sync_uid == sync_uid, _d.id.in_(ids))
    dismissed = _d.resolution.is_not_distinct_from("dismissed")
    connection.execute(update(dead_letters).where(*mine, dismissed).values(shown=None, payload=None))
    gone = connection.execute(delete(dead_letters).where(*mine, ~dismissed).returning(_d.code, _d.resolved_at)).all()
    letter_counts.deleted(
        connection,
        sync_uid,
        opened=[row.code for row in gone if row.resolved_at is None],
        resolved=[row.code for row in gone if row.resolved_at is not None],
    )


def _holds(payload: bytes | None, field: str, value: str) -> bool:
    if payload is None:
        return False
    try:
        record = json.loads(payload.decode(errors="replace"), parse_int=str, parse_float=str)
    except ValueError:
        return False
    return _found(record, field, value)


def _found(held: Any, field: str, value: str) -> bool:
    """Whether the field, or a nested one on a path with dots, is that text; of a list, any member counts."""
    if isinstance(held, list):
        return any(_found(member, field, value) for member in held)
    if not field:
        return str(held) == value if isinstance(held, str) else held is not None and json.dumps(held) == value
    if not isinstance(held, dict):
        return False
    if field in held and _found(held[field], "", value):
        return True
    first, _, rest = field.partition(".")
    return bool(rest) and first in held and _found(held[first], rest, value)
