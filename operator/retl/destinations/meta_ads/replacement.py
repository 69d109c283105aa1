"""A session in which an audience is replaced: batches in sequence, the last of which makes Meta swap the members.

After "Custom Audience Usersreplace" and the session parameter of "Customer File Custom Audiences": until the last batch
was told as such, the audience stays as it is, and a session that is not ended is dropped.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from retl.destinations.meta_ads.counts import Counts


class Replacement:
    """One session. Its batches go one after the other, because Meta numbers them.

    Attributes:
        id: of the session, 63 bits.
        expected: people that are about to be sent; 0 if nobody knows.
        turn: held while a batch is under way.
        counts: what Meta said last.
        sent: somebody whom it took, by whom the session can be ended.
        ending: whether it was tried to end it.
    """

    def __init__(self) -> None:
        self.id = secrets.randbits(62) + 1
        self.expected = 0
        self.turn = asyncio.Lock()
        self.counts = Counts()
        self.sent: Sequence[str] | None = None
        self.ending = False
        self._batches = 0

    def session(self, *, last: bool = False) -> dict[str, Any]:
        """The session parameter of the next call. A call that is made again has another number, as it may have come."""
        self._batches += 1
        known = {"estimated_num_total": self.expected} if self.expected else {}
        return {"session_id": self.id, "batch_seq": self._batches, "last_batch_flag": last, **known}
