"""What the destination is believed to hold, as (key hash, row hash) pairs in parts: a base and the deltas since.

A part lies in the database, or in an object of the snapshot store that its row names. Objects are entered in a table of
their own before they are written, so that what no part names is known, and can be deleted, without listing the store.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select, update

from retl.errors import InvalidInput, StateError
from retl.state.tables import snapshot_blobs, snapshot_parts

IN_USE = 0
READ_ROWS = 200_000
"""Pairs read from the database at once: 6.4 MB."""
BLOB_GRACE = timedelta(days=1)
"""How long an object stays that no part names: longer than any commit or reader needs."""
DELETED_AT_ONCE = 1_000

_parts = snapshot_parts.c
_blobs = snapshot_blobs.c
_NAMED = exists().where(_parts.sync_uid == _blobs.sync_uid, _parts.blob == _blobs.name)


@dataclass(frozen=True, slots=True)
class Kept:
    """A part as it is kept: records sealed, and without bytes of its own where an object holds them.

    Attributes:
        size: number of keys.
        keys, rows: 16 bytes a row; empty where an object holds them.
        records: sealed; None where there are none, or an object holds them.
        blob: name of that object; None when there is none.
        checksum: SHA-256 of the object.
    """

    size: int
    keys: bytes = b""
    rows: bytes = b""
    records: bytes | None = None
    blob: str | None = None
    checksum: bytes = b""


def size(connection: Connection, sync_uid: str) -> int:
    """Pairs in all parts together."""
    total = select(func.coalesce(func.sum(_parts.size), 0)).where(*_live(sync_uid))
    return int(connection.execute(total).scalar_one())


def ranges(connection: Connection, sync_uid: str, after: int | None = None) -> list[tuple[int, int]]:
    """The parts as ranges (first, last) of sequences, oldest first, each small enough to be read at once."""
    found = select(_parts.sequence, _parts.size).where(*_live(sync_uid)).order_by(_parts.sequence)
    if after is not None:
        found = found.where(_parts.sequence > after)
    return list(_grouped((row.sequence, row.size) for row in connection.execute(found)))


def _grouped(sizes: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first = last = None
    total = 0
    for sequence, rows in sizes:
        if first is not None and last is not None and total + rows > READ_ROWS:
            yield first, last
            first, total = None, 0
        first = sequence if first is None else first
        last = sequence
        total += rows
    if first is not None and last is not None:
        yield first, last


def read(connection: Connection, sync_uid: str, first: int, last: int) -> list[tuple[int, Kept]]:
    """The parts of a range with their sequences."""
    found = (
        select(snapshot_parts, _blobs.checksum)
        .outerjoin(snapshot_blobs, _blobs.name == _parts.blob)
        .where(*_live(sync_uid), _parts.sequence.between(first, last))
        .order_by(_parts.sequence)
    )
    return [
        (row.sequence, Kept(row.size, row.key_hashes, row.row_hashes, row.records, row.blob, row.checksum or b""))
        for row in connection.execute(found)
    ]


def append(connection: Connection, sync_uid: str, part: Kept) -> None:
    """Add a delta after all parts there are."""
    newest = select(func.coalesce(func.max(_parts.sequence), 0)).where(*_live(sync_uid))
    _insert(connection, sync_uid, IN_USE, connection.execute(newest).scalar_one() + 1, part)


def stage(connection: Connection, sync_uid: str, compaction: int, sequence: int, part: Kept) -> None:
    """Lay down a part of a compacted snapshot, not in use yet; sent twice, the second replaces the first."""
    connection.execute(
        delete(snapshot_parts).where(
            _parts.sync_uid == sync_uid, _parts.staged == compaction, _parts.sequence == sequence
        )
    )
    _insert(connection, sync_uid, compaction, sequence, part)


def swap(connection: Connection, sync_uid: str, compaction: int, count: int, replaces: int) -> None:
    """Put `count` staged parts (sequences 1 …) in the place of all parts up to `replaces`."""
    staged = (_parts.sync_uid == sync_uid, _parts.staged == compaction)
    found = connection.execute(
        select(func.count(), func.min(_parts.sequence), func.max(_parts.sequence)).where(*staged)
    )
    if found.one() not in {(count, 1, count), (0, None, None) if count == 0 else None}:
        raise InvalidInput(f"compaction: not all of {count} parts have arrived; send them again")
    connection.execute(delete(snapshot_parts).where(*_live(sync_uid), _parts.sequence <= replaces))
    # Numbered backwards from `replaces`, so that they stay before every later delta however many they are.
    connection.execute(
        update(snapshot_parts).where(*staged).values(staged=IN_USE, sequence=_parts.sequence + (replaces - count))
    )


def drop_staged(connection: Connection, sync_uid: str) -> None:
    """Forget compactions that did not come to their end."""
    connection.execute(delete(snapshot_parts).where(_parts.sync_uid == sync_uid, _parts.staged != IN_USE))


def drop(connection: Connection, sync_uid: str) -> None:
    """Forget the whole snapshot."""
    connection.execute(delete(snapshot_parts).where(_parts.sync_uid == sync_uid))


def announce(connection: Connection, sync_uid: str, name: str, checksum: bytes, now: datetime) -> None:
    """Enter an object that is about to be written."""
    values = {"name": name, "sync_uid": sync_uid, "checksum": checksum, "unused_since": now, "doomed": False}
    connection.execute(insert(snapshot_blobs).values(values))


def doom(connection: Connection, sync_uid: str, now: datetime) -> list[str]:
    """Objects of the sync to delete now: no part has named them for as long as they are kept, and none ever will.

    What is named no more is noticed here first, so its time begins with the first claim after that.
    """
    unnamed = (_blobs.sync_uid == sync_uid, ~_NAMED)
    connection.execute(update(snapshot_blobs).where(*unnamed, _blobs.unused_since.is_(None)).values(unused_since=now))
    connection.execute(
        update(snapshot_blobs).where(*unnamed, _blobs.unused_since < now - BLOB_GRACE).values(doomed=True)
    )
    doomed = select(_blobs.name).where(_blobs.sync_uid == sync_uid, _blobs.doomed).limit(DELETED_AT_ONCE)
    return list(connection.execute(doomed).scalars())


def forget(connection: Connection, names: Sequence[str]) -> None:
    """Strike out objects that are deleted."""
    connection.execute(delete(snapshot_blobs).where(_blobs.name.in_(names)))


def outside(connection: Connection) -> bool:
    """Whether any part lies in the snapshot store."""
    return bool(connection.execute(select(exists().where(_blobs.unused_since.is_(None), _NAMED))).scalar_one())


def _live(sync_uid: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _parts.sync_uid == sync_uid, _parts.staged == IN_USE


def _insert(connection: Connection, sync_uid: str, staged: int, sequence: int, part: Kept) -> None:
    if part.blob is not None:
        _use(connection, part.blob)
    connection.execute(
        insert(snapshot_parts).values(
            sync_uid=sync_uid,
            staged=staged,
            sequence=sequence,
            size=part.size,
            blob=part.blob,
            key_hashes=part.keys,
            row_hashes=part.rows,
            records=part.records,
        )
    )


def _use(connection: Connection, name: str) -> None:
    """Take an object out of what is to be deleted; too late once that has begun."""
    used = update(snapshot_blobs).where(_blobs.name == name, ~_blobs.doomed).values(unused_since=None)
    if connection.execute(used).rowcount != 1:
        raise StateError(f"snapshot store: object {name} waited too long for its commit and is deleted; commit again")
