"""Pairs of key hash and row hash as plain bytes: 16 bytes each, concatenated, keys apart from rows."""

from collections.abc import Iterable, Iterator

from retl.state.store import HASH_BYTES, SnapshotPart

PART_PAIRS = 250_000
"""Most pairs in a part of a compacted snapshot: 8 MB, so that readers and writers of parts stay small."""


def check_pairs(keys: bytes, rows: bytes) -> None:
    """Raise ValueError unless both hold the same number of whole hashes."""
    if len(keys) != len(rows) or len(keys) % HASH_BYTES:
        raise ValueError(f"{len(keys)} bytes of keys and {len(rows)} bytes of rows are not pairs of {HASH_BYTES}")


def bounded(parts: Iterable[SnapshotPart]) -> Iterator[SnapshotPart]:
    """The same pairs in the same order, in parts of at most PART_PAIRS, numbered from 1."""
    step = PART_PAIRS * HASH_BYTES
    number = 0
    for part in parts:
        check_pairs(part.keys, part.rows)
        for start in range(0, len(part.keys), step):
            number += 1
            yield SnapshotPart(number, part.keys[start : start + step], part.rows[start : start + step])
