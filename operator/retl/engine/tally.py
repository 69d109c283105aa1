"""The accounting of a run: read = unchanged + created + updated + deleted + skipped + invalid + rejected + unknown."""

from dataclasses import dataclass

from retl.engine.diff import Changes
from retl.resources.run import RunCounts


@dataclass(slots=True)
class Tally:
    """What became of the rows so far. Rows that nothing has become of are skipped in the end."""

    read: int = 0
    unchanged: int = 0
    waiting: int = 0
    invalid: int = 0
    created: int = 0
    updated: int = 0
    rejected: int = 0
    unknown: int = 0

    def judged(self, changes: Changes) -> None:
        """Take over what the diff found; nothing has been sent yet."""
        self.read = changes.staged.rows
        self.unchanged, self.waiting, self.invalid = changes.unchanged, changes.waiting, changes.invalid

    def wrote(self, *, created: int, updated: int) -> None:
        """Count acknowledged records."""
        self.created += created
        self.updated += updated

    def counts(self) -> RunCounts:
        """Totals while the run goes on; rows still to be sent are in none of them."""
        return self._counts(skipped=self.waiting)

    def final(self) -> RunCounts:
        """Totals at the end; rows that were not attempted are skipped."""
        settled = self.unchanged + self.invalid + self.created + self.updated + self.rejected + self.unknown
        assert settled + self.waiting <= self.read, f"{settled} + {self.waiting} rows settled of {self.read} read"
        return self._counts(skipped=self.read - settled)

    def _counts(self, skipped: int) -> RunCounts:
        return RunCounts(
            read=self.read,
            unchanged=self.unchanged,
            created=self.created,
            updated=self.updated,
            skipped=skipped,
            invalid=self.invalid,
            rejected=self.rejected,
            unknown=self.unknown,
        )
