"""Which rows are new, changed, unchanged, waiting or invalid: the staged rows against the snapshot.

Only hashes are compared. Of rows that share a key none is sent, because nobody can say which is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from retl.engine.mapping import NULL_KEY
from retl.engine.snapshot import Snapshot, waiting_table
from retl.engine.stage import Staged
from retl.engine.values import literal
from retl.state.store import Waiting

DUPLICATE_KEY = -2
"""Value of `bad` for a row whose key another row has, too."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of each staged row.

    Attributes:
        path: Parquet file (n, k, r, bad, verdict) of all rows but plainly unchanged ones; n is its place in the
            stage.
        known: keys in the snapshot.
        parts: parts that the snapshot consists of.
        settled: unchanged rows that were dead letters, and are again as the destination has them.
    """

    staged: Staged
    path: Path
    known: int
    parts: int
    unchanged: int
    settled: int
    created: int
    updated: int
    waiting: int
    invalid: int

    def rows(self, verdicts: Sequence[str], columns: Sequence[str]) -> str:
        """SQL of the rows with these verdicts, with `columns` of the stage."""
        wanted = ", ".join(literal(v) for v in verdicts)
        # What the join keeps in memory is the right side: as narrow as it can be.
        return f"""
        SELECT c.created, CAST(s.k AS BLOB) AS k,
               CAST(CASE WHEN c.bad = {DUPLICATE_KEY} THEN s.k ELSE s.r END AS BLOB) AS r,
               c.bad, {", ".join(columns)}
        FROM read_parquet({literal(str(self.staged.path))}, file_row_number = true) s
        JOIN (
            SELECT n, bad, verdict = 'create' AS created FROM read_parquet({literal(str(self.path))})
            WHERE verdict IN ({wanted})
        ) c ON c.n = s.file_row_number"""


def diff(
    staged: Staged, snapshot: Snapshot, waiting: Waiting, cursor: duckdb.DuckDBPyConnection, *, full_refresh: bool
) -> Changes:
    """Compare; blocks.

    Args:
        waiting: the open dead letters; one that was refused for its own sake is skipped until it changes.
        full_refresh: also send what is unchanged or waits.
    """
    path = staged.path.with_name("changes.parquet")
    cursor.register("waiting", waiting_table(waiting))
    cursor.execute(
        f"CREATE TEMP VIEW staged AS SELECT file_row_number AS n, k, r, bad "
        f"FROM read_parquet({literal(str(staged.path))}, file_row_number = true)"
    )
    cursor.execute(f"COPY ({_verdicts(snapshot, full_refresh)}) TO {literal(str(path))} (FORMAT parquet)")
    counts = dict(
        cursor.execute(f"SELECT verdict, count(*) FROM read_parquet({literal(str(path))}) GROUP BY 1").fetchall()
    )
    known = cursor.execute(f"SELECT count(*) FROM {snapshot.current}").fetchall()[0][0]
    return Changes(
        staged=staged,
        path=path,
        known=known,
        parts=snapshot.parts,
        unchanged=staged.rows - sum(counts.values()) + counts.get("settled", 0),
        settled=counts.get("settled", 0),
        created=counts.get("create", 0),
        updated=counts.get("update", 0),
        waiting=counts.get("waiting", 0),
        invalid=counts.get("invalid", 0),
    )


def _verdicts(snapshot: Snapshot, full_refresh: bool) -> str:
    """SQL of all rows but the unchanged ones that nothing is to be done about.

    Rows that share a key get their key as row hash: whatever they hold, they wait as long as there are several, and the
    one that remains is sent although nothing in it changed.
    """
    return f"""
    WITH duplicates AS (
        SELECT k FROM staged WHERE bad IS DISTINCT FROM {NULL_KEY} GROUP BY k HAVING count(*) > 1
    ),
    rows AS (
        SELECT s.n, s.k, CASE WHEN d.k IS NULL THEN s.r ELSE s.k END AS r,
               CASE WHEN d.k IS NULL THEN s.bad ELSE {DUPLICATE_KEY} END AS bad
        FROM staged s LEFT JOIN duplicates d ON d.k = s.k
    ),
    judged AS (
        SELECT rows.*, CASE
            WHEN w.r = rows.r AND NOT {full_refresh} THEN 'waiting'
            WHEN rows.bad IS NOT NULL THEN 'invalid'
            WHEN known.k IS NULL THEN 'create'
            WHEN known.r <> rows.r OR {full_refresh} THEN 'update'
            WHEN w.k IS NOT NULL THEN 'settled'
        END AS verdict
        FROM rows LEFT JOIN {snapshot.current} known ON known.k = rows.k
        LEFT JOIN waiting w ON w.k = rows.k
    )
    SELECT * FROM judged WHERE verdict IS NOT NULL"""
