"""What the destination is believed to hold, as (key hash, row hash) pairs in parts: a base and the deltas since."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from retl.errors import InvalidInput
from retl.state.pairs import check_pairs
from retl.state.sealing import ENV_KEY, Sealer
from retl.state.store import HASH_BYTES, Commit, SnapshotPart
from retl.state.tables import snapshot_parts

IN_USE = 0
READ_ROWS = 200_000
"""Pairs read from the database at once: 6.4 MB."""

_parts = snapshot_parts.c


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


def read(connection: Connection, sync_uid: str, first: int, last: int, sealer: Sealer) -> list[SnapshotPart]:
    """The parts of a range."""
    found = (
        select(_parts.sequence, _parts.key_hashes, _parts.row_hashes, _parts.records)
        .where(*_live(sync_uid), _parts.sequence.between(first, last))
        .order_by(_parts.sequence)
    )
    return [
        SnapshotPart(row.sequence, bytes(row.key_hashes), bytes(row.row_hashes), _opened(row.records, sync_uid, sealer))
        for row in connection.execute(found)
    ]


def _opened(records: bytes | None, sync_uid: str, sealer: Sealer) -> bytes:
    return b"" if records is None else sealer.open(records, _place(sync_uid))


def _place(sync_uid: str) -> str:
    return f"records of sync {sync_uid}"


def append(connection: Connection, sync_uid: str, commit: Commit, sealer: Sealer) -> None:
    """Add a commit's records as a delta after all parts there are."""
    newest = select(func.coalesce(func.max(_parts.sequence), 0)).where(*_live(sync_uid))
    number = connection.execute(newest).scalar_one() + 1
    _insert(connection, sync_uid, IN_USE, SnapshotPart(number, commit.keys, commit.rows, commit.records), sealer)


def stage(connection: Connection, sync_uid: str, compaction: int, part: SnapshotPart, sealer: Sealer) -> None:
    """Lay down a part of a compacted snapshot, not in use yet; sent twice, the second replaces the first."""
    connection.execute(
        delete(snapshot_parts).where(
            _parts.sync_uid == sync_uid, _parts.staged == compaction, _parts.sequence == part.sequence
        )
    )
    _insert(connection, sync_uid, compaction, part, sealer)


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


def _live(sync_uid: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _parts.sync_uid == sync_uid, _parts.staged == IN_USE


def _insert(connection: Connection, sync_uid: str, staged: int, part: SnapshotPart, sealer: Sealer) -> None:
    check_pairs(part.keys, part.rows, part.records)
    if part.records and not sealer.seals:
        raise InvalidInput(
            "mode mirror: keeps the key fields of what it wrote, and the state database has no key to encrypt them; "
            f"set {ENV_KEY} where the database is opened (the API pod, or the command line)"
        )
    connection.execute(
        insert(snapshot_parts).values(
            sync_uid=sync_uid,
            staged=staged,
            sequence=part.sequence,
            size=len(part.keys) // HASH_BYTES,
            key_hashes=part.keys,
            row_hashes=part.rows,
            records=sealer.seal(part.records, _place(sync_uid)) if part.records else None,
        )
    )
