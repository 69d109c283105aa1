"""Idempotency keys: what a destination tells by that a record was sent before.

A key is the same over retries, halved batches, crashes and further attempts of a run. What can happen only once (an
insert; an event that a cursor tells apart) keeps its key for ever, so that the next run does not repeat it either. Any
other change gets another key in another run: a record that is changed and changed back must not be taken for repeated.
"""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from typing import overload

from retl.runspec.spec import RunSpec
from retl.state.store import HASH_BYTES


class RecordIds(Sequence[str]):
    """Keys of a batch's records, as UUIDs; each is made when it is asked for, because few connectors ask.

    Args:
        keys, rows: hashes of the records, 16 bytes each.
        scope: as `id_scope` gives it.
    """

    def __init__(self, keys: bytes, rows: bytes, scope: bytes) -> None:
        self._keys = keys
        self._rows = rows
        self._scope = scope

    def __len__(self) -> int:
        return len(self._keys) // HASH_BYTES

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index] * HASH_BYTES
        end = at + HASH_BYTES
        digest = hashlib.md5(self._keys[at:end] + self._rows[at:end] + self._scope, usedforsecurity=False)
        return str(uuid.UUID(bytes=digest.digest()))

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


def id_scope(spec: RunSpec, semantics: str) -> bytes:
    """What keeps the keys of one run apart from those of another; empty where they are the same for ever."""
    once = semantics == "insert" or (semantics == "append" and spec.change_detection.strategy == "Cursor")
    return b"" if once else spec.run.uid.encode()
