"""How state travels between a runner and the state service.

Hashes and payloads go as raw bytes behind a small JSON header: base64 would make them a third longer, and both sides
would hold every commit twice. A snapshot, and the dead letters of a replay, are streams of frames with an explicit end,
so that a cut connection is never mistaken for a short stream.
"""

import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import Field, ValidationError

from retl.resources.destination import RateLimit
from retl.resources.fields import Model
from retl.resources.run import RunCounts, RunProgress
from retl.resources.sync import DeadLetters
from retl.runspec.catalog import Catalog
from retl.runspec.check import ConnectionKind
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state.pairs import check_pairs
from retl.state.store import (
    HASH_BYTES,
    Claim,
    ClaimRequest,
    Commit,
    KeptLetter,
    NewDeadLetter,
    Notes,
    OpenJob,
    Reservation,
    SnapshotPart,
    Waiting,
)

PREFIX = "/internal/v1"
BINARY = "application/octet-stream"
MAX_BODY = 64 * 2**20
"""Most bytes of a request."""
MAX_CATALOG = 16 * 2**20
"""Most bytes of one that hands in a catalog; a check cuts what it found to half of that."""

PROBLEM_BUSY = "another-run-active"
PROBLEM_FENCED = "fenced"
PROBLEM_UNREADABLE = "unreadable-message"

_LENGTH = struct.Struct(">I")
_PART = struct.Struct(">qII")
_LETTER = struct.Struct(">16sIII")
_NONE = _END = 0xFFFF_FFFF


class BadMessage(ValueError):
    """The bytes are not such a message."""


class ClaimBody(Model):
    """A ClaimRequest, with the nonce that makes sending it twice harmless."""

    run: RunIdentity
    sync: SyncIdentity
    baseline: str
    owner: str
    ledger: str = ""
    letters: DeadLetters = DeadLetters()
    nonce: str = Field(min_length=16, max_length=64)

    @classmethod
    def of(cls, request: ClaimRequest, nonce: str) -> "ClaimBody":
        """The body that carries this request."""
        return cls(
            run=request.run,
            sync=request.sync,
            baseline=request.baseline,
            owner=request.owner,
            ledger=request.ledger,
            letters=request.letters,
            nonce=nonce,
        )

    def request(self) -> ClaimRequest:
        """The request in it."""
        return ClaimRequest(self.run, self.sync, self.baseline, self.owner, self.ledger, self.letters)


class ClaimAnswer(Model):
    """A Claim as JSON."""

    sync_uid: str
    run_uid: str
    fence: int
    salt: str
    snapshot_rows: int
    previous: str | None
    notes: Notes

    @classmethod
    def of(cls, claim: Claim) -> "ClaimAnswer":
        """The answer that carries this claim."""
        return cls(**asdict(claim) | {"salt": claim.salt.hex()})

    def claim(self) -> Claim:
        """The claim in it."""
        return Claim(
            sync_uid=self.sync_uid,
            run_uid=self.run_uid,
            fence=self.fence,
            salt=bytes.fromhex(self.salt),
            snapshot_rows=self.snapshot_rows,
            previous=self.previous,
            notes=self.notes,
        )


class Heartbeat(Model):
    """What a runner says of itself every few seconds."""

    counts: RunCounts
    progress: RunProgress | None = None


class CatalogBody(Model):
    """A catalog, and whose it is."""

    kind: ConnectionKind
    name: str
    catalog: Catalog


class CatalogKept(Model):
    """The answer: what differs from the catalog before."""

    changes: list[str]


class AskProgress(Model):
    """Asks how far runs are, by uid."""

    runs: list[str] = Field(max_length=10_000)


class RunsProgress(Model):
    """How far runs are, by uid."""

    runs: dict[str, RunProgress]


class Swap(Model):
    """The last step of a compaction."""

    count: int = Field(ge=0)
    replaces: int


class Calls(Model):
    """Asks for calls of an account's rate."""

    limit: RateLimit
    calls: int = Field(ge=1)


class Reserved(Model):
    """A Reservation; times in seconds."""

    start: float
    interval: float
    calls: int

    @classmethod
    def of(cls, reservation: Reservation) -> "Reserved":
        """The answer that carries this reservation."""
        start, interval = reservation.start.total_seconds(), reservation.interval.total_seconds()
        return cls(start=start, interval=interval, calls=reservation.calls)

    def reservation(self) -> Reservation:
        """The reservation in it."""
        return Reservation(timedelta(seconds=self.start), timedelta(seconds=self.interval), self.calls)


class Refusal(Model):
    """An account refused a call; time in seconds."""

    pause: float = Field(ge=0)


class _Letter(Model):
    code: str
    message: str
    record_keys: dict[str, str | None]
    attempts: int = Field(ge=1)
    operation: str
    record: bool
    payload: int | None = Field(ge=0, description="Bytes of it; null when there is none.")


class _CommitHeader(Model):
    sequence: int = Field(ge=1)
    counts: RunCounts
    keys: int = Field(ge=0)
    records: int = Field(ge=0, description="Bytes of them.")
    resolved: int = Field(ge=0)
    notes: Notes | None
    letters: list[_Letter]
    ended: list[str] = Field(default_factory=list)


class _JobHeader(Model):
    id: str = Field(max_length=64)
    handle: str = Field(max_length=4096)
    run_uid: str
    operation: str
    submitted_at: datetime
    records: int = Field(ge=0)


def pack_commit(commit: Commit) -> bytes:
    """Header, then keys, rows, records, resolved keys, the dead letters' hashes, their payloads."""
    header = _CommitHeader.model_construct(
        sequence=commit.sequence,
        counts=commit.counts,
        keys=len(commit.keys) // HASH_BYTES,
        records=len(commit.records),
        resolved=len(commit.resolved) // HASH_BYTES,
        notes=commit.notes,
        letters=[
            _Letter.model_construct(
                code=letter.code,
                message=letter.message,
                record_keys=letter.record_keys,
                attempts=letter.attempts,
                operation=letter.operation,
                record=bool(letter.record),
                payload=None if letter.payload is None else len(letter.payload),
            )
            for letter in commit.dead_letters
        ],
        ended=list(commit.ended),
    ).model_dump_json()
    check_pairs(commit.keys, commit.rows, commit.records)
    encoded = header.encode()
    hashes = [part for letter in commit.dead_letters for part in (letter.key, letter.row, letter.record)]
    payloads = [letter.payload for letter in commit.dead_letters if letter.payload is not None]
    sent = (commit.keys, commit.rows, commit.records, commit.resolved)
    return b"".join((_LENGTH.pack(len(encoded)), encoded, *sent, *hashes, *payloads))


def unpack_commit(body: bytes) -> Commit:
    """Read what `pack_commit` wrote (raises BadMessage)."""
    rest = _Cursor(body)
    try:
        header = _CommitHeader.model_validate_json(rest.take(_LENGTH.unpack(rest.take(_LENGTH.size))[0]))
    except ValidationError as error:
        raise BadMessage(f"commit: the header has {error.error_count()} mistakes") from None
    keys, rows = rest.take(header.keys * HASH_BYTES), rest.take(header.keys * HASH_BYTES)
    records, resolved = rest.take(header.records), rest.take(header.resolved * HASH_BYTES)
    hashes = [
        (rest.take(HASH_BYTES), rest.take(HASH_BYTES), rest.take(HASH_BYTES if letter.record else 0))
        for letter in header.letters
    ]
    letters = [
        NewDeadLetter(
            key=key,
            row=row,
            code=letter.code,
            message=letter.message,
            record_keys=letter.record_keys,
            payload=None if letter.payload is None else rest.take(letter.payload),
            attempts=letter.attempts,
            record=record,
            operation=letter.operation,
        )
        for letter, (key, row, record) in zip(header.letters, hashes, strict=True)
    ]
    rest.end()
    return Commit(
        header.sequence, header.counts, keys, rows, letters, records, resolved, header.notes, tuple(header.ended)
    )


def pack_job(job: OpenJob) -> bytes:
    """Header, then the hashes of keys, rows and marks."""
    header = _JobHeader(
        id=job.id,
        handle=job.handle,
        run_uid=job.run_uid,
        operation=job.operation,
        submitted_at=job.submitted_at,
        records=len(job.keys) // HASH_BYTES,
    )
    encoded = header.model_dump_json().encode()
    return b"".join((_LENGTH.pack(len(encoded)), encoded, job.keys, job.rows, job.marks))


def unpack_job(body: bytes) -> OpenJob:
    """Read what `pack_job` wrote (raises BadMessage)."""
    rest = _Cursor(body)
    job = _job(rest)
    rest.end()
    return job


def pack_jobs(jobs: Sequence[OpenJob]) -> bytes:
    """One after the other, each as `pack_job` writes it."""
    return b"".join(map(pack_job, jobs))


def unpack_jobs(body: bytes) -> list[OpenJob]:
    """Read what `pack_jobs` wrote (raises BadMessage)."""
    rest, found = _Cursor(body), []
    while not rest.done:
        found.append(_job(rest))
    return found


def _job(rest: "_Cursor") -> OpenJob:
    try:
        header = _JobHeader.model_validate_json(rest.take(_LENGTH.unpack(rest.take(_LENGTH.size))[0]))
    except ValidationError as error:
        raise BadMessage(f"job: the header has {error.error_count()} mistakes") from None
    keys, rows, marks = (rest.take(header.records * HASH_BYTES) for _ in range(3))
    return OpenJob(header.id, header.handle, header.run_uid, header.operation, header.submitted_at, keys, rows, marks)


def pack_part(part: SnapshotPart) -> bytes:
    """Number of pairs, then keys, rows, records."""
    return b"".join((_LENGTH.pack(len(part.keys) // HASH_BYTES), part.keys, part.rows, part.records))


def unpack_part(sequence: int, body: bytes) -> SnapshotPart:
    """Read what `pack_part` wrote (raises BadMessage)."""
    rest = _Cursor(body)
    size = _LENGTH.unpack(rest.take(_LENGTH.size))[0] * HASH_BYTES
    part = SnapshotPart(sequence, rest.take(size), rest.take(size), rest.all())
    try:
        check_pairs(part.keys, part.rows, part.records)
    except ValueError as error:
        raise BadMessage(f"part: {error}") from None
    return part


def pack_waiting(waiting: Waiting) -> bytes:
    """Number of open entries, their keys and rows, then those of dismissed ones."""
    count = _LENGTH.pack(len(waiting.keys) // HASH_BYTES)
    return b"".join((count, waiting.keys, waiting.rows, waiting.dismissed_keys, waiting.dismissed_rows))


def unpack_waiting(body: bytes) -> Waiting:
    """Read what `pack_waiting` wrote (raises BadMessage)."""
    rest = _Cursor(body)
    size = _LENGTH.unpack(rest.take(_LENGTH.size))[0] * HASH_BYTES
    keys, rows, dismissed = rest.take(size), rest.take(size), rest.all()
    half = len(dismissed) // 2
    return Waiting(keys, rows, dismissed[:half], dismissed[half:])


async def write_parts(parts: AsyncIterator[SnapshotPart]) -> AsyncIterator[bytes]:
    """A snapshot as frames; the end frame comes only after the last part was read."""
    async for part in parts:
        yield _PART.pack(part.sequence, len(part.keys) // HASH_BYTES, len(part.records))
        yield part.keys
        yield part.rows
        if part.records:
            yield part.records
    yield _PART.pack(0, _END, 0)


async def read_parts(stream: AsyncIterator[bytes]) -> AsyncIterator[SnapshotPart]:
    """The parts of a snapshot (raises BadMessage when the stream ends before its end frame)."""
    rest = _Stream(stream)
    while True:
        sequence, count, records = _PART.unpack(await rest.take(_PART.size))
        if count == _END:
            return
        keys, rows = await rest.take(count * HASH_BYTES), await rest.take(count * HASH_BYTES)
        yield SnapshotPart(sequence, keys, rows, await rest.take(records))


async def write_letters(letters: AsyncIterator[KeptLetter]) -> AsyncIterator[bytes]:
    """Dead letters as frames; the end frame comes only after the last one was read."""
    async for letter in letters:
        operation, payload = letter.operation.encode(), letter.payload
        size = _NONE if payload is None else len(payload)
        head = _LETTER.pack(UUID(letter.id).bytes, len(letter.record), len(operation), size)
        yield b"".join((head, letter.key, letter.row, letter.record, operation, payload or b""))
    yield _LETTER.pack(b"", _END, 0, 0)


async def read_letters(stream: AsyncIterator[bytes]) -> AsyncIterator[KeptLetter]:
    """Dead letters (raises BadMessage when the stream ends before its end frame)."""
    rest = _Stream(stream)
    while True:
        id, record, operation, payload = _LETTER.unpack(await rest.take(_LETTER.size))
        if record == _END:
            return
        yield KeptLetter(
            id=str(UUID(bytes=id)),
            key=await rest.take(HASH_BYTES),
            row=await rest.take(HASH_BYTES),
            record=await rest.take(record),
            operation=(await rest.take(operation)).decode(),
            payload=None if payload == _NONE else await rest.take(payload),
        )


class _Stream:
    """Takes a stream apart as it arrives."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()

    async def take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                self._buffer.extend(await anext(self._chunks))
            except StopAsyncIteration:
                raise BadMessage("the stream was cut off") from None
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


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

    def all(self) -> bytes:
        return self.take(len(self._body) - self._at)

    @property
    def done(self) -> bool:
        return self._at == len(self._body)

    def end(self) -> None:
        if self._at != len(self._body):
            raise BadMessage(f"{len(self._body) - self._at} bytes too many")
