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
"""Value of `bad` for a row whose primary key another row has, too."""
DUPLICATE_TARGET = -3
"""Value of `bad` for a row whose key fields another row has, too: both would be written to the same record."""


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
        row = f"CASE c.bad WHEN {DUPLICATE_KEY} THEN s.k WHEN {DUPLICATE_TARGET} THEN s.d ELSE s.r END"
        # What the join keeps in memory is the right side: as narrow as it can be.
        return f"""
        SELECT c.created, CAST(s.k AS BLOB) AS k, CAST({row} AS BLOB) AS r, c.bad, {", ".join(columns)}
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
        f"CREATE TEMP VIEW staged AS SELECT file_row_number AS n, k, r, d, bad "
        f"FROM read_parquet({literal(str(staged.path))}, file_row_number = true)"
    )
    cursor.execute(f"COPY ({_verdicts(staged, snapshot, full_refresh)}) TO {literal(str(path))} (FORMAT parquet)")
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
        invalid=counts.get("invalid", 0) + counts.get("repeated", 0),
    )


def _verdicts(staged: Staged, snapshot: Snapshot, full_refresh: bool) -> str:
    """SQL of all rows but the unchanged ones that nothing is to be done about.

    Rows that share a key get that key as row hash: whatever they hold, they wait as long as there are several, and the
    one that remains is sent although nothing in it changed. Of invalid rows with the same k one stands for all, the
    others are `repeated`: there is one dead letter for them.
    """
    targets = "SELECT d FROM staged WHERE d IS NOT NULL GROUP BY d HAVING count(*) > 1"
    marked = f"SELECT s.*, t.d IS NOT NULL AS shared FROM staged s LEFT JOIN ({targets}) t ON t.d = s.d"
    return f"""
    WITH duplicates AS (
        SELECT k, min(n) AS first FROM staged GROUP BY k HAVING count(*) > 1
    ),
    marked AS ({marked if staged.maps_key else "SELECT *, false AS shared FROM staged"}),
    found AS (
        SELECT s.n, s.k, s.r, s.d, s.n <> d.first AS repeated, CASE
            WHEN s.bad = {NULL_KEY} THEN s.bad
            WHEN d.k IS NOT NULL THEN {DUPLICATE_KEY}
            WHEN s.shared THEN {DUPLICATE_TARGET}
            ELSE s.bad
        END AS bad
        FROM marked s LEFT JOIN duplicates d ON d.k = s.k
    ),
    rows AS (
        SELECT n, k, CASE bad WHEN {DUPLICATE_KEY} THEN k WHEN {DUPLICATE_TARGET} THEN d ELSE r END AS r, bad, repeated
        FROM found
    ),
    judged AS (
        SELECT rows.n, rows.k, rows.r, rows.bad, CASE
            WHEN w.r = rows.r AND NOT {full_refresh} THEN 'waiting'
            WHEN rows.bad IS NOT NULL THEN CASE WHEN repeated THEN 'repeated' ELSE 'invalid' END
            WHEN known.k IS NULL THEN 'create'
            WHEN known.r <> rows.r OR {full_refresh} THEN 'update'
            WHEN w.k IS NOT NULL THEN 'settled'
        END AS verdict
        FROM rows LEFT JOIN {snapshot.current} known ON known.k = rows.k
        LEFT JOIN waiting w ON w.k = rows.k
    )
    SELECT * FROM judged WHERE verdict IS NOT NULL"""
