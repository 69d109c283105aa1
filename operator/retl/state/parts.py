"""Snapshot parts on their way to and from where they lie: the database, or the snapshot store if there is one.

Objects are written before, and read after, the transaction that speaks of them, so no lock waits for the store. The
order keeps both true to each other: an object is announced, written, and only then named by a commit; a crash leaves at
most an object that no part names, which a later claim deletes.
"""

import asyncio
import hashlib
import logging
from datetime import datetime

from sqlalchemy import Connection

from retl.errors import InvalidInput, SnapshotDamaged, StateError
from retl.state import claims, snapshots
from retl.state.blobs import Blobs, new_name
from retl.state.database import Database
from retl.state.pairs import check_pairs
from retl.state.sealing import ENV_KEY, Sealer
from retl.state.snapshots import Kept
from retl.state.store import HASH_BYTES, Claim, SnapshotPart

INLINE_BYTES = 64 * 1024
"""Smaller parts, of 2,000 pairs, stay in the database until they are compacted: a request costs more than it saves."""
READ_AT_ONCE = 16
"""Objects that are read side by side; together they are no larger than what is read from the database at once."""

_log = logging.getLogger(__name__)


class Parts:
    """Keeps and reads parts.

    Args:
        sealer: seals their records.
        blobs: the snapshot store; None to keep all in the database.
    """

    def __init__(self, database: Database, sealer: Sealer, blobs: Blobs | None) -> None:
        self._database = database
        self._sealer = sealer
        self._blobs = blobs
        self._readers = asyncio.Semaphore(READ_AT_ONCE)
        self._collecting: set[asyncio.Task[None]] = set()

    async def keep(self, claim: Claim, part: SnapshotPart, now: datetime) -> Kept:
        """Seal a part, and write its object if it gets one (raises Fenced, InvalidInput, StateError)."""
        check_pairs(part.keys, part.rows, part.records)
        size = len(part.keys) // HASH_BYTES
        records = await asyncio.to_thread(self._seal, claim, part.records) if part.records else None
        length = len(part.keys) + len(part.rows) + len(records or b"")
        if self._blobs is None or not size or length < INLINE_BYTES:
            return Kept(size, part.keys, part.rows, records)
        data = b"".join((part.keys, part.rows, records or b""))
        name, checksum = new_name(), await asyncio.to_thread(_checksum, data)
        await self._database.run(_announce, claim, name, checksum, now)
        await self._blobs.put(name, data)
        return Kept(size, blob=name, checksum=checksum)

    async def read(self, claim: Claim, first: int, last: int) -> list[SnapshotPart]:
        """The parts of a range (raises Fenced, and SnapshotDamaged if one is not what was written)."""
        kept = await self._database.read(_read, claim, first, last)
        try:
            return list(await asyncio.gather(*(self._open(claim, sequence, part) for sequence, part in kept)))
        except SnapshotDamaged:
            # A run that was overtaken a day ago may miss what has been deleted since: that is no damage.
            await self._database.read(claims.check, claim)
            raise

    def collect(self, sync_uid: str, now: datetime) -> None:
        """Begin to delete the sync's objects that no part has named for long; what fails is left to a later claim."""
        if self._blobs is not None:
            task = asyncio.create_task(self._collect(self._blobs, sync_uid, now))
            self._collecting.add(task)
            task.add_done_callback(self._collecting.discard)

    async def close(self) -> None:
        """Let what is being deleted be deleted."""
        await asyncio.gather(*self._collecting)

    async def _collect(self, blobs: Blobs, sync_uid: str, now: datetime) -> None:
        try:
            if names := await self._database.run(snapshots.doom, sync_uid, now):
                await blobs.delete(names)
                await self._database.run(snapshots.forget, names)
        except StateError as error:
            _log.warning("objects of old snapshots are left for the next run: %s", error)

    async def _open(self, claim: Claim, sequence: int, kept: Kept) -> SnapshotPart:
        if kept.blob is None and kept.records is None:
            return SnapshotPart(sequence, kept.keys, kept.rows)
        if kept.blob is None:
            return await asyncio.to_thread(self._part, claim, sequence, kept)
        if self._blobs is None:
            raise StateError(f"snapshot: object {kept.blob} holds a part of it, and no snapshot store is set")
        async with self._readers:
            data = await self._blobs.get(kept.blob)
            return await asyncio.to_thread(self._part, claim, sequence, kept, data)

    def _seal(self, claim: Claim, records: bytes) -> bytes:
        if not self._sealer.seals:
            raise InvalidInput(
                "mode mirror: keeps the key fields of what it wrote, and the state database has no key to encrypt "
                f"them; set {ENV_KEY} where the database is opened (the API pod, or the command line)"
            )
        return self._sealer.seal(records, _place(claim))

    def _part(self, claim: Claim, sequence: int, kept: Kept, data: bytes | None = None) -> SnapshotPart:
        if data is not None:
            kept = _unpacked(kept, data)
        records = b"" if kept.records is None else self._sealer.open(kept.records, _place(claim))
        return SnapshotPart(sequence, kept.keys, kept.rows, records)


def _unpacked(kept: Kept, data: bytes) -> Kept:
    if _checksum(data) != kept.checksum:
        raise SnapshotDamaged(
            f"snapshot store: object {kept.blob} is not what was written ({len(data)} bytes, wrong checksum); bring it "
            "back from a backup or an older version"
        )
    end = kept.size * HASH_BYTES
    return Kept(kept.size, data[:end], data[end : 2 * end], data[2 * end :] or None)


def _place(claim: Claim) -> str:
    return f"records of sync {claim.sync_uid}"


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _announce(connection: Connection, claim: Claim, name: str, checksum: bytes, now: datetime) -> None:
    claims.check(connection, claim)
    snapshots.announce(connection, claim.sync_uid, name, checksum, now)


def _read(connection: Connection, claim: Claim, first: int, last: int) -> list[tuple[int, Kept]]:
    claims.check(connection, claim)
    return snapshots.read(connection, claim.sync_uid, first, last)
