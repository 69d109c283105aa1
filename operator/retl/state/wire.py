"""How state travels between a runner and the state service.

Hashes and payloads go as raw bytes behind a small JSON header: base64 would make them a third longer, and both sides
would hold every commit twice. A snapshot is a stream of frames with an explicit end, so that a cut connection is never
mistaken for a short snapshot.
"""

import struct
from collections.abc import AsyncIterator
from dataclasses import asdict

from pydantic import Field, ValidationError

from retl.resources.fields import Model
from retl.resources.run import RunCounts
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state.pairs import check_pairs
from retl.state.store import HASH_BYTES, Claim, ClaimRequest, Commit, NewDeadLetter, SnapshotPart, Waiting

PREFIX = "/internal/v1"
BINARY = "application/octet-stream"
MAX_BODY = 64 * 2**20
"""Most bytes of a request."""

PROBLEM_BUSY = "another-run-active"
PROBLEM_FENCED = "fenced"

_LENGTH = struct.Struct(">I")
_FRAME = struct.Struct(">qI")
_END = 0xFFFF_FFFF


class BadMessage(ValueError):
    """The bytes are not such a message."""


class ClaimBody(Model):
    """A ClaimRequest, with the nonce that makes sending it twice harmless."""

    run: RunIdentity
    sync: SyncIdentity
    baseline: str
    owner: str
    nonce: str = Field(min_length=16, max_length=64)

    def request(self) -> ClaimRequest:
        """The request in it."""
        return ClaimRequest(run=self.run, sync=self.sync, baseline=self.baseline, owner=self.owner)


class ClaimAnswer(Model):
    """A Claim as JSON."""

    sync_uid: str
    run_uid: str
    fence: int
    salt: str
    snapshot_rows: int

    @classmethod
    def of(cls, claim: Claim) -> "ClaimAnswer":
        """The answer that carries this claim."""
        return cls(**asdict(claim) | {"salt": claim.salt.hex()})

    def claim(self) -> Claim:
        """The claim in it."""
        return Claim(self.sync_uid, self.run_uid, self.fence, bytes.fromhex(self.salt), self.snapshot_rows)


class Swap(Model):
    """The last step of a compaction."""

    count: int = Field(ge=0)
    replaces: int


class _Letter(Model):
    code: str
    message: str
    record_keys: dict[str, str | None]
    attempts: int = Field(ge=1)
    payload: int | None = Field(ge=0, description="Bytes of it; null when there is none.")


class _CommitHeader(Model):
    sequence: int = Field(ge=1)
    counts: RunCounts
    keys: int = Field(ge=0)
    letters: list[_Letter]


def pack_commit(commit: Commit) -> bytes:
    """Header, then keys, rows, the dead letters' hashes, their payloads."""
    header = _CommitHeader.model_construct(
        sequence=commit.sequence,
        counts=commit.counts,
        keys=len(commit.keys) // HASH_BYTES,
        letters=[
            _Letter.model_construct(
                code=letter.code,
                message=letter.message,
                record_keys=letter.record_keys,
                attempts=letter.attempts,
                payload=None if letter.payload is None else len(letter.payload),
            )
            for letter in commit.dead_letters
        ],
    ).model_dump_json()
    check_pairs(commit.keys, commit.rows)
    encoded = header.encode()
    hashes = [half for letter in commit.dead_letters for half in (letter.key, letter.row)]
    payloads = [letter.payload for letter in commit.dead_letters if letter.payload is not None]
    return b"".join((_LENGTH.pack(len(encoded)), encoded, commit.keys, commit.rows, *hashes, *payloads))


def unpack_commit(body: bytes) -> Commit:
    """Read what `pack_commit` wrote (raises BadMessage)."""
    rest = _Cursor(body)
    try:
        header = _CommitHeader.model_validate_json(rest.take(_LENGTH.unpack(rest.take(_LENGTH.size))[0]))
    except ValidationError as error:
        raise BadMessage(f"commit: the header has {error.error_count()} mistakes") from None
    keys, rows = rest.take(header.keys * HASH_BYTES), rest.take(header.keys * HASH_BYTES)
    hashes = [(rest.take(HASH_BYTES), rest.take(HASH_BYTES)) for _ in header.letters]
    letters = [
        NewDeadLetter(
            key=key,
            row=row,
            code=letter.code,
            message=letter.message,
            record_keys=letter.record_keys,
            payload=None if letter.payload is None else rest.take(letter.payload),
            attempts=letter.attempts,
        )
        for letter, (key, row) in zip(header.letters, hashes, strict=True)
    ]
    rest.end()
    return Commit(header.sequence, header.counts, keys, rows, letters)


def pack_pairs(keys: bytes, rows: bytes) -> bytes:
    """Keys, then rows."""
    return keys + rows


def unpack_pairs(body: bytes) -> tuple[bytes, bytes]:
    """Keys and rows (raises BadMessage)."""
    if len(body) % (2 * HASH_BYTES):
        raise BadMessage(f"{len(body)} bytes are not pairs of {HASH_BYTES}-byte hashes")
    half = len(body) // 2
    return body[:half], body[half:]


def unpack_waiting(body: bytes) -> Waiting:
    """Read the answer to `waiting` (raises BadMessage)."""
    return Waiting(*unpack_pairs(body))


async def write_parts(parts: AsyncIterator[SnapshotPart]) -> AsyncIterator[bytes]:
    """A snapshot as frames; the end frame comes only after the last part was read."""
    async for part in parts:
        yield _FRAME.pack(part.sequence, len(part.keys) // HASH_BYTES)
        yield part.keys
        yield part.rows
    yield _FRAME.pack(0, _END)


async def read_parts(stream: AsyncIterator[bytes]) -> AsyncIterator[SnapshotPart]:
    """The parts of a snapshot (raises BadMessage when the stream ends before its end frame)."""
    buffer = bytearray()

    async def take(size: int) -> bytes:
        while len(buffer) < size:
            try:
                buffer.extend(await anext(stream))
            except StopAsyncIteration:
                raise BadMessage("the snapshot was cut off") from None
        taken = bytes(buffer[:size])
        del buffer[:size]
        return taken

    while True:
        sequence, count = _FRAME.unpack(await take(_FRAME.size))
        if count == _END:
            return
        yield SnapshotPart(sequence, await take(count * HASH_BYTES), await take(count * HASH_BYTES))


class _Cursor:
    """Takes a message apart from front to back."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, size: int) -> bytes:
        taken = self._body[self._at : self._at + size]
        if len(taken) != size:
            raise BadMessage(f"the message ends after {len(self._body)} bytes, in the middle")
        self._at += size
        return taken

    def end(self) -> None:
        if self._at != len(self._body):
            raise BadMessage(f"{len(self._body) - self._at} bytes too many")
