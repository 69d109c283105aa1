"""Pairs of key and row hashes as plain bytes: 16 bytes each, concatenated, keys apart from rows; and their records."""

from collections.abc import Iterable, Iterator

from retl.state.store import HASH_BYTES, SnapshotPart

PART_PAIRS = 250_000
"""Most pairs in a part of a compacted snapshot: 8 MB, so that readers and writers of parts stay small."""
PART_RECORD_PAIRS = 50_000
"""The same where they have records, whose size is up to the source."""


def check_pairs(keys: bytes, rows: bytes, records: bytes = b"") -> None:
    """Raise ValueError unless both hold the same number of whole hashes, and records, if any, a line for each."""
    if len(keys) != len(rows) or len(keys) % HASH_BYTES:
        raise ValueError(f"{len(keys)} bytes of keys and {len(rows)} bytes of rows are not pairs of {HASH_BYTES}")
    if records and (records.count(b"\n") != len(keys) // HASH_BYTES or not records.endswith(b"\n")):
        raise ValueError(f"the records are not {len(keys) // HASH_BYTES} lines, one for each pair")


def bounded(parts: Iterable[SnapshotPart]) -> Iterator[SnapshotPart]:
    """The same pairs in the same order, in parts of at most PART_PAIRS, numbered from 1."""
    number = 0
    for part in parts:
        check_pairs(part.keys, part.rows, part.records)
        pairs = PART_RECORD_PAIRS if part.records else PART_PAIRS
        lines = [line + b"\n" for line in part.records.split(b"\n")[:-1]]
        for start in range(0, len(part.keys) // HASH_BYTES, pairs):
            number += 1
            cut = slice(start * HASH_BYTES, (start + pairs) * HASH_BYTES)
            yield SnapshotPart(number, part.keys[cut], part.rows[cut], b"".join(lines[start : start + pairs]))
