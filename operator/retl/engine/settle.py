"""What becomes of records once the destination has spoken: counts, snapshot, dead letters, and limits on refusals.

The snapshot is given what is now known of each record:

================== ==================================================================================================
acknowledged       its row
skipped            its row in an insert, because the record is there; in an update nothing, because there is no record
rejected           nothing new; where a write was announced that must not be repeated, that it was not carried out
unknown            that it must be sent again, that it is held, or its row, as delivery.onUnknown says
================== ==================================================================================================
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from retl.destinations.base import ACKNOWLEDGED, Acknowledged, Capabilities, Code, Outcome, Rejected, Skipped, Unknown
from retl.engine.blocks import known, new
from retl.engine.chunk import Chunk
from retl.engine.commit import Committer
from retl.engine.guards import exceeded
from retl.engine.letters import Letters
from retl.engine.mapping import LOOKUP
from retl.engine.progress import Progress
from retl.engine.tally import Tally
from retl.errors import ErrorBudgetExceeded, RetlError
from retl.runspec.spec import RunSpec
from retl.state.store import GONE, NO_ROW, NewDeadLetter

NOT_SAID = Unknown("the connector did not say what became of the record")


class Settlement:
    """Settles the records of one run.

    Args:
        to_send: records that the run is to write; a percentage in guards.maxRejected is of these.
        end: ends the run.

    Attributes:
        settled: records of which it is known what became of them, or that nobody can know it.
        refused: those of them that were rejected, or may not have been written.
        all_acknowledged: whether no record was refused or left to the next run.
        smallest_refused: under a cursor, the smallest value of a record that was refused, or skipped to be tried again.
    """

    def __init__(
        self,
        spec: RunSpec,
        capabilities: Capabilities,
        *,
        letters: Letters,
        tally: Tally,
        committer: Committer,
        progress: Progress,
        to_send: int,
        end: Callable[[RetlError], None],
    ) -> None:
        self.settled = self.refused = 0
        self.all_acknowledged = True
        self.smallest_refused: Any = None
        self._inserts = capabilities.semantics(spec.mode) == "insert"
        self._repeatable = capabilities.repeatable
        self._on_unknown = spec.delivery.on_unknown
        self._limit = spec.guards.max_rejected
        self._to_send = to_send
        self._rejected = 0
        self._letters = letters
        self._tally = tally
        self._committer = committer
        self._progress = progress
        self._end = end

    async def settle(self, chunk: Chunk, outcomes: Sequence[Outcome], attempts: int = 1) -> None:
        """Take over what became of each record of a chunk, in order; what is missing at the end is unknown.

        With more outcomes than records, nobody knows which is whose: all are unknown.
        """
        outcomes = outcomes if len(outcomes) <= chunk.size else []
        outcomes = [*outcomes, *[NOT_SAID] * (chunk.size - len(outcomes))]
        if outcomes.count(ACKNOWLEDGED) == chunk.size:
            await self._acknowledge(chunk)
        else:
            chunk = self._letters.completed(chunk)
            await self._acknowledge(_those(chunk, outcomes, Acknowledged))
            await self._skip(_those(chunk, outcomes, Skipped))
            for i, outcome in enumerate(outcomes):
                if isinstance(outcome, Rejected):
                    await self._reject(chunk.row(i), outcome, attempts)
                elif isinstance(outcome, Unknown):
                    await self._doubt(chunk.row(i), outcome, attempts)
        self._advance(chunk.size)

    async def leave(self, chunk: Chunk) -> None:
        """Leave a chunk to the next run: none of it was sent, or the destination says so."""
        self.all_acknowledged = False
        await self._undo(chunk)

    def postpone(self) -> None:
        """Records stay with a job that has not ended; the next run asks for it, and until then nothing is known."""
        self.all_acknowledged = False

    async def leave_out(self, chunk: Chunk) -> None:
        """Count records as skipped that were never sent, and remember nothing of them."""
        self._tally.skipped += chunk.size
        self._pin(chunk)
        self._advance(chunk.size)

    async def refuse(self, chunk: Chunk, code: Code, message: str) -> None:
        """Reject records that are not complete, and try them again with the next run, though they may not change."""
        self._note_refused(chunk)
        self._tally.rejected += chunk.size
        letters = self._letters.of(chunk, code, message, hold=False)
        await self._committer.add(letters=[replace(letter, payload=None) for letter in letters])
        self._advance(chunk.size)
        self._check_limit(chunk.size)

    async def _acknowledge(self, chunk: Chunk) -> None:
        if not chunk.size:
            return
        if chunk.operation == "delete":
            self._tally.wrote(deleted=chunk.size)
        else:
            created = chunk.created
            self._tally.wrote(created=created, updated=chunk.size - created)
        await self._remember(chunk)

    async def _skip(self, chunk: Chunk) -> None:
        if not chunk.size:
            return
        self._tally.skipped += chunk.size
        if self._inserts:
            await self._remember(chunk)
        else:
            self._pin(chunk)
            announced = chunk if self._must_not_repeat(chunk) else known(chunk)
            gone = GONE * announced.size
            await self._committer.add(keys=announced.keys, rows=gone, resolved=chunk.origins)

    async def _reject(self, row: Chunk, outcome: Rejected, attempts: int) -> None:
        self._note_refused(row)
        self._tally.rejected += 1
        await self._undo(row)
        await self._committer.add(letters=self._letters.of(row, outcome.code, outcome.message, attempts))
        self._check_limit(1)

    async def _doubt(self, row: Chunk, outcome: Unknown, attempts: int) -> None:
        self._tally.unknown += 1
        if self._on_unknown == "Accept":
            await self._remember(row)
            return
        self._note_refused(row)
        hold = self._on_unknown == "Hold"
        if self._must_not_repeat(row) and not hold:  # in other operations it says so already, if the record is known
            await self._committer.add(keys=row.keys, rows=NO_ROW, records=row.records)
        letters = self._letters.of(row, "OUTCOME_UNKNOWN", outcome.message, attempts, hold=hold)
        await self._committer.add(letters=[_without_marks(letter) for letter in letters])

    async def _remember(self, chunk: Chunk) -> None:
        await self._committer.add(keys=chunk.keys, rows=chunk.hashes, records=chunk.records, resolved=chunk.origins)

    async def _undo(self, chunk: Chunk) -> None:
        """Take back that a write was begun which must not be repeated: it was not carried out.

        Elsewhere what was announced may stand: it only says that the record must be sent, and so it must.
        """
        if not self._must_not_repeat(chunk):
            return
        old = known(chunk)
        await self._committer.add(keys=old.keys, rows=NO_ROW * old.size, records=old.records)
        await self._committer.add(keys=new(chunk).keys, rows=GONE * (chunk.size - old.size))

    def _must_not_repeat(self, chunk: Chunk) -> bool:
        return chunk.operation not in self._repeatable

    def _note_refused(self, chunk: Chunk) -> None:
        self.refused += chunk.size
        self.all_acknowledged = False
        self._pin(chunk)

    def _pin(self, chunk: Chunk) -> None:
        """The next run must read these records again."""
        if "cursor" in chunk.rows.schema.names:
            values = [*chunk.rows.column("cursor").to_pylist(), self.smallest_refused]
            self.smallest_refused = min((value for value in values if value is not None), default=None)

    def _check_limit(self, rejected: int) -> None:
        self._rejected += rejected
        if self._limit is not None and exceeded(self._limit, self._rejected, self._to_send):
            of = f" of the {self._to_send} to be sent" if isinstance(self._limit, str) else ""
            refused = "1 record was" if self._rejected == 1 else f"{self._rejected} records were"
            self._end(
                ErrorBudgetExceeded(
                    f"{refused} refused, more than guards.maxRejected {self._limit}{of}; "
                    "look at the dead letters, then correct the mappings or raise the limit"
                )
            )

    def _advance(self, records: int) -> None:
        self.settled += records
        self._progress.advanced("deliver", self.settled)
        self._progress.counted(self._tally.counts())


def _without_marks(letter: NewDeadLetter) -> NewDeadLetter:
    """A record that was sent by an earlier attempt is not looked up again: it could not be replayed as it is here."""
    looked_up = letter.payload is not None and LOOKUP[:1].encode() in letter.payload
    return replace(letter, payload=None) if looked_up else letter


def _those(chunk: Chunk, outcomes: Sequence[Outcome], kind: type[Outcome]) -> Chunk:
    return chunk.take([i for i, outcome in enumerate(outcomes) if isinstance(outcome, kind)])
