"""The accounting of a run: read = unchanged + created + updated + deleted + skipped + invalid + rejected + unknown."""

from dataclasses import dataclass

from retl.engine.diff import Changes
from retl.resources.run import RunCounts


@dataclass(slots=True)
class Tally:
    """What became of the rows so far. Rows that nothing has become of are skipped in the end.

    Attributes:
        read: rows that the query returned, and records that a mirror finds gone.
        skipped: rows that wait, that were dismissed, or that the destination left as they are.
    """

    read: int = 0
    unchanged: int = 0
    skipped: int = 0
    invalid: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    rejected: int = 0
    unknown: int = 0

    def judged(self, changes: Changes) -> None:
        """Take over what the diff found; nothing has been sent yet."""
        self.read = changes.read
        self.unchanged, self.skipped, self.invalid = changes.unchanged, changes.left, changes.invalid

    def wrote(self, *, created: int = 0, updated: int = 0, deleted: int = 0) -> None:
        """Count acknowledged records."""
        self.created += created
        self.updated += updated
        self.deleted += deleted

    def counts(self) -> RunCounts:
        """Totals while the run goes on; rows still to be sent are in none of them."""
        return self._counts(self.skipped)

    def final(self) -> RunCounts:
        """Totals at the end; rows that were not attempted are skipped."""
        written = self.created + self.updated + self.deleted
        settled = self.unchanged + self.invalid + written + self.rejected + self.unknown
        assert settled + self.skipped <= self.read, f"{settled} + {self.skipped} rows settled of {self.read} read"
        return self._counts(self.read - settled)

    def _counts(self, skipped: int) -> RunCounts:
        return RunCounts(
            read=self.read,
            unchanged=self.unchanged,
            created=self.created,
            updated=self.updated,
            deleted=self.deleted,
            skipped=skipped,
            invalid=self.invalid,
            rejected=self.rejected,
            unknown=self.unknown,
        )
