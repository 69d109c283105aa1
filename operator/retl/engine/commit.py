"""Makes what became of records durable, while delivery goes on.

Group commit: whatever was settled since the last commit goes out as soon as that one has ended. So the state store is
never more than one commit behind the destination, and a kill repeats no more than that and what was in flight.
"""

import asyncio
from collections.abc import Sequence

from retl.engine.tally import Tally
from retl.state.store import Claim, Commit, NewDeadLetter, StateStore

LETTERS_PER_COMMIT = 1_000
MAX_PENDING_BYTES = 16 * 1024 * 1024
"""Hashes that may wait for a commit before delivery waits, too: half a million records."""
MAX_PENDING_LETTERS = 5 * LETTERS_PER_COMMIT


class Committer:
    """Collects outcomes and commits them; `run` goes on until `close`.

    Attributes:
        parts: snapshot parts committed so far.
    """

    def __init__(self, state: StateStore, claim: Claim, tally: Tally) -> None:
        self.parts = 0
        self._state = state
        self._claim = claim
        self._tally = tally
        self._sequence = 0
        self._keys = bytearray()
        self._rows = bytearray()
        self._letters: list[NewDeadLetter] = []
        self._closed = self._ended = False
        self._changed = asyncio.Condition()

    async def add(self, *, keys: bytes = b"", rows: bytes = b"", letters: Sequence[NewDeadLetter] = ()) -> None:
        """Hand over settled records; waits while too many are not committed yet."""
        async with self._changed:
            await self._changed.wait_for(self._has_room)
            self._keys += keys
            self._rows += rows
            self._letters += letters
            self._changed.notify_all()

    async def close(self) -> None:
        """No more will come: lets `run` end, and waits until all is committed."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._ended)

    async def run(self) -> None:
        """Commit until closed (raises StateError, Fenced)."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._keys or self._letters or self._closed)
                commit = self._next()
                self._ended = commit is None
                self._changed.notify_all()
            if commit is None:
                return
            await self._state.commit(self._claim, commit)
            self.parts += bool(commit.keys)

    def _has_room(self) -> bool:
        return len(self._keys) < MAX_PENDING_BYTES and len(self._letters) < MAX_PENDING_LETTERS

    def _next(self) -> Commit | None:
        if not self._keys and not self._letters:
            return None
        self._sequence += 1
        commit = Commit(
            sequence=self._sequence,
            counts=self._tally.counts(),
            keys=bytes(self._keys),
            rows=bytes(self._rows),
            dead_letters=self._letters[:LETTERS_PER_COMMIT],
        )
        self._keys, self._rows = bytearray(), bytearray()
        self._letters = self._letters[LETTERS_PER_COMMIT:]
        return commit
