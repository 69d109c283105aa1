"""The dead letter queue: one open entry for each key of a sync, and how entries open, change and are resolved."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from retl.runspec.codes import FOR_ITS_OWN_SAKE
from retl.state.store import HASH_BYTES, NO_ROW, DeadLetter, NewDeadLetter, Waiting
from retl.state.tables import OPEN, dead_letters, syncs

Resolution = Literal["superseded", "rebaselined"]

KEYS_A_STATEMENT = 1_000
_d = dead_letters.c


def put(connection: Connection, sync: Row[Any], run: str, letters: Sequence[NewDeadLetter], now: datetime) -> None:
    """Open an entry for each key, or bring the open one up to date; attempts add up.

    Args:
        sync: row of the sync.
        run: name of the run that saw them.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(dead_letters)
    replaced = ("row_hash", "run", "code", "message", "record_keys", "payload", "last_seen_at")
    upsert = new.on_conflict_do_update(
        index_elements=[_d.sync_uid, _d.key_hash],
        index_where=OPEN,
        set_={name: new.excluded[name] for name in replaced} | {"attempts": _d.attempts + new.excluded.attempts},
    )
    same = {
        "sync_uid": sync.uid,
        "namespace": sync.namespace,
        "run": run,
        "first_seen_at": now,
        "last_seen_at": now,
    }
    connection.execute(upsert, [same | _values(letter) for letter in letters])


def _values(letter: NewDeadLetter) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "key_hash": letter.key,
        "row_hash": letter.row,
        "code": letter.code,
        "message": letter.message.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # PostgreSQL takes no NUL in text
        "record_keys": letter.record_keys,
        "payload": letter.payload,
        "attempts": letter.attempts,
    }


def supersede(connection: Connection, sync_uid: str, keys: bytes, now: datetime) -> None:
    """Resolve the open entries of these keys: their records were written after all."""
    if connection.execute(select(_d.id).where(_d.sync_uid == sync_uid, OPEN).limit(1)).first() is None:
        return  # as in nearly every commit
    for some in _chunks(keys):
        connection.execute(
            update(dead_letters)
            .where(_d.sync_uid == sync_uid, _d.key_hash.in_(some), OPEN)
            .values(_resolved("superseded", now))
        )


def rebaseline(connection: Connection, sync_uid: str, now: datetime) -> None:
    """Resolve all open entries: they speak of another destination, object or key."""
    connection.execute(update(dead_letters).where(_d.sync_uid == sync_uid, OPEN).values(_resolved("rebaselined", now)))


def _resolved(resolution: Resolution, now: datetime) -> dict[str, object]:
    return {"resolved_at": now, "resolution": resolution}


def waiting(connection: Connection, sync_uid: str) -> Waiting:
    """Open entries; those of records that were refused for their own sake with the row that was refused."""
    found = connection.execute(select(_d.key_hash, _d.row_hash, _d.code).where(_d.sync_uid == sync_uid, OPEN)).all()
    rows = (entry.row_hash if entry.code in FOR_ITS_OWN_SAKE else NO_ROW for entry in found)
    return Waiting(keys=b"".join(entry.key_hash for entry in found), rows=b"".join(rows))


def count_open(connection: Connection, sync_uid: str | None = None) -> int:
    """Open entries of one sync, or of all."""
    found = select(func.count()).select_from(dead_letters).where(OPEN)
    return connection.execute(found if sync_uid is None else found.where(_d.sync_uid == sync_uid)).scalar_one()


def newest(connection: Connection, namespace: str, sync: str | None, resolved: bool, limit: int) -> list[DeadLetter]:
    """Open or resolved entries, last seen first; without their payloads."""
    columns = [column for column in _d if column.name not in {"payload", "key_hash", "row_hash"}]
    found = (
        select(*columns, syncs.c.name.label("sync"))
        .join(syncs, syncs.c.uid == _d.sync_uid)
        .where(_d.namespace == namespace, _d.resolved_at.is_not(None) if resolved else OPEN)
        .order_by(_d.last_seen_at.desc(), _d.id)
        .limit(limit)
    )
    if sync is not None:
        found = found.where(syncs.c.namespace == namespace, syncs.c.name == sync)
    return [DeadLetter(**row._mapping) for row in connection.execute(found)]


def _chunks(keys: bytes) -> Iterator[list[bytes]]:
    size = KEYS_A_STATEMENT * HASH_BYTES
    for start in range(0, len(keys), size):
        yield _split(keys[start : start + size])


def _split(keys: bytes) -> list[bytes]:
    return [keys[i : i + HASH_BYTES] for i in range(0, len(keys), HASH_BYTES)]
