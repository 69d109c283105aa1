"""Makes what became of records durable, while delivery goes on.

Group commit: whatever was settled since the last commit goes out PACE after that one, or at once if somebody waits for
it. So a kill repeats no more than what was settled in that time and what was in flight.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from retl.engine.tally import Tally
from retl.state.store import HASH_BYTES, Claim, Commit, NewDeadLetter, Notes, StateStore

LETTERS_PER_COMMIT = 1_000
MAX_PENDING_BYTES = 16 * 1024 * 1024
"""Hashes that may wait for a commit before delivery waits, too: half a million records."""
MAX_PENDING_LETTERS = 5 * LETTERS_PER_COMMIT
PATIENCE = 1.0
"""Seconds that a commit may take before delivery waits for it: what is acknowledged meanwhile would be sent again."""
PACE = 0.05
"""Seconds in which settled records gather. A commit costs the time of some thousand records, however few it holds."""


@dataclass(slots=True)
class _Pending:
    """What waits for the next commit."""

    keys: bytearray = field(default_factory=bytearray)
    rows: bytearray = field(default_factory=bytearray)
    records: bytearray = field(default_factory=bytearray)
    resolved: bytearray = field(default_factory=bytearray)
    letters: list[NewDeadLetter] = field(default_factory=list)
    notes: Notes | None = None
    ended: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.keys or self.resolved or self.letters or self.notes or self.ended)

    @property
    def has_room(self) -> bool:
        size = len(self.keys) + len(self.records) // 2 + len(self.resolved)
        return size < MAX_PENDING_BYTES and len(self.letters) < MAX_PENDING_LETTERS


class Committer:
    """Collects outcomes and commits them; `run` goes on until `close`.

    Attributes:
        parts: snapshot parts committed so far.
    """

    def __init__(self, state: StateStore, claim: Claim, tally: Tally, *, records: bool, letters: bool) -> None:
        """Begin.

        Args:
            records: whether the snapshot keeps the key fields of records.
            letters: whether the sync has open dead letters, which acknowledged rows resolve.
        """
        self.parts = 0
        self._state = state
        self._claim = claim
        self._tally = tally
        self._records = records
        self._has_letters = letters
        self._sequence = 0
        self._pending = _Pending()
        self._begun = self._done = 0
        self._committing: float | None = None
        self._closed = False
        self._awaited = 0
        self._changed = asyncio.Condition()

    async def add(
        self,
        *,
        keys: bytes = b"",
        rows: bytes = b"",
        records: bytes = b"",
        resolved: bytes = b"",
        letters: Sequence[NewDeadLetter] = (),
        notes: Notes | None = None,
        ended: Sequence[str] = (),
    ) -> int:
        """Hand over what is settled, as in `Commit`; waits while too much is not committed yet.

        Args:
            records: may be left out where the keys are gone.
        Returns:
            The number of the commit that the keys travel in.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._pending.has_room and not self._is_behind)
            pending = self._pending
            pending.keys += keys
            pending.rows += rows
            if self._records:
                pending.records += records or b"\n" * (len(keys) // HASH_BYTES)
            self._has_letters |= bool(letters)
            if self._has_letters:
                pending.resolved += resolved
            pending.letters += letters
            pending.notes = notes or pending.notes
            pending.ended += ended
            self._changed.notify_all()
            return self._begun + 1

    async def intend(self, *, keys: bytes, row: bytes, records: bytes = b"", ended: Sequence[str] = ()) -> None:
        """Record, before records are sent, that nobody knows what the destination holds of them; waits until it is so.

        Args:
            row: NO_ROW or SENT.
            records: their key fields, where the snapshot keeps them.
            ended: jobs whose word on them counts no more.
        """
        if not keys and not ended:
            return
        number = await self.add(keys=keys, rows=row * (len(keys) // HASH_BYTES), records=records, ended=ended)
        await self._until(lambda: self._done >= number)

    async def flush(self) -> None:
        """Wait until all that was handed over is durable."""
        await self._until(lambda: not self._pending and self._begun == self._done)

    async def close(self) -> None:
        """No more will come: lets `run` end, and waits until all is committed."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
        await self.flush()

    async def run(self) -> None:
        """Commit until closed (raises StateError, Fenced)."""
        paced = 0.0
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._pending or self._closed)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(paced):
                        await self._changed.wait_for(self._due)
                commit = self._next()
                self._changed.notify_all()
            if commit is None:
                return
            self._committing = asyncio.get_running_loop().time()
            await self._state.commit(self._claim, commit)
            self._committing = None
            paced = asyncio.get_running_loop().time() + PACE
            async with self._changed:
                self._done += 1
                self.parts += bool(commit.keys)
                self._changed.notify_all()

    @property
    def _is_behind(self) -> bool:
        """Whether the state store takes so long that a kill would repeat more than it should."""
        return self._committing is not None and asyncio.get_running_loop().time() - self._committing > PATIENCE

    async def _until(self, durable: Callable[[], bool]) -> None:
        """Wait for commits, which are made without delay meanwhile."""
        async with self._changed:
            self._awaited += 1
            self._changed.notify_all()
            try:
                await self._changed.wait_for(durable)
            finally:
                self._awaited -= 1

    def _due(self) -> bool:
        return self._closed or self._awaited > 0 or not self._pending.has_room

    def _next(self) -> Commit | None:
        if not self._pending:
            return None
        pending, self._pending = self._pending, _Pending()
        self._pending.letters = pending.letters[LETTERS_PER_COMMIT:]
        if self._pending.letters:  # what the sync is to remember, it remembers last
            self._pending.notes, pending.notes = pending.notes, None
            self._pending.ended, pending.ended = pending.ended, []  # its records are settled first
        self._begun += 1
        self._sequence += 1
        return Commit(
            sequence=self._sequence,
            counts=self._tally.counts(),
            keys=bytes(pending.keys),
            rows=bytes(pending.rows),
            records=bytes(pending.records),
            resolved=bytes(pending.resolved),
            dead_letters=pending.letters[:LETTERS_PER_COMMIT],
            notes=pending.notes,
            ended=pending.ended,
        )
