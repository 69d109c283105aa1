"""What there is to do: the staged rows against the snapshot, by the rules of the sync's mode.

Only hashes are compared. Of rows that share a key none is sent, because nobody can say which is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from retl.engine.mapping import NULL_KEY
from retl.engine.snapshot import Snapshot, hash_literal, hashes
from retl.engine.stage import Staged
from retl.engine.values import literal
from retl.state.store import GONE, NO_ROW, SENT, Waiting

DUPLICATE_KEY = -2
"""Value of `bad` for a row whose primary key another row has, too."""
DUPLICATE_TARGET = -3
"""Value of `bad` for a row whose key fields another row has, too: both would be written to the same record."""

CREATE, UPDATE, DELETE, DOUBTFUL = "create", "update", "delete", "doubtful"


@dataclass(frozen=True, slots=True)
class Rules:
    """By what rules rows are judged.

    Attributes:
        semantics: the standard mode.
        resend: also send what is unchanged or waits.
        complete: whether the query returned all rows, so that one it did not return is gone.
        replay: a table `chosen` (p) names the only rows to send, whether they wait or not.
        kept: the rows are records as dead letters kept them, and may be older than what was written since.
    """

    semantics: str
    resend: bool = False
    complete: bool = True
    replay: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to become of each staged row, and of each record that is gone.

    Attributes:
        path: Parquet file (n, k, p, r, bad, verdict) of all rows that are not plainly unchanged; n: place in stage.
        gone: Parquet file (k, r, verdict, record) of the keys in the snapshot that the source no longer has.
        vanished: Parquet file (p) of open dead letters whose row the source no longer has.
        records: whether the snapshot keeps the key fields of records.
        known: keys in the snapshot.
        parts: parts that the snapshot consists of.
        read: rows that this run accounts for.
        settled: unchanged rows that were dead letters, and are again as the destination has them.
        left: rows that are left out: they wait, were dismissed, or the mode leaves them alone.
        doubtful: rows whose write was begun by an attempt that was killed, in an operation that cannot be repeated.
        respelled: records that are gone, but for another spelling of their key; the destination may take both for one.
        unidentified: rows that were not written, and of which nobody can say which record they once were.
    """

    staged: Staged
    path: Path
    gone: Path
    vanished: Path
    records: bool
    known: int
    parts: int
    read: int
    unchanged: int
    settled: int
    created: int
    updated: int
    deleted: int
    doubtful: int
    left: int
    invalid: int
    forgotten: int
    respelled: int
    unidentified: int

    @property
    def to_send(self) -> int:
        """Records that the run would write."""
        return self.created + self.updated + self.deleted

    def rows(self, verdicts: Sequence[str], numbers: str = "", *, sent: bool = False) -> str:
        """SQL of the rows with these verdicts: what the mapping makes of them, between the columns of a Chunk.

        Args:
            sent: they are to be sent, and need no more than that.
            numbers: only the rows with these places in the stage, separated by commas.
        """
        wanted = ", ".join(literal(v) for v in verdicts)
        mapping = self.staged.mapping
        p = "k" if self.staged.own_keys else "p"
        row = f"CASE found WHEN {DUPLICATE_KEY} THEN {p} WHEN {DUPLICATE_TARGET} THEN k ELSE r END"
        only = f"WHERE s.file_row_number IN ({numbers})" if numbers else ""
        stage = f"read_parquet({literal(str(self.staged.path))}, file_row_number = true)"
        # What the join keeps in memory is the right side: as narrow as it can be.
        judged = f"""
            SELECT s.*, c.created, c.found FROM {stage} s JOIN (
                SELECT n, verdict = '{CREATE}' AS created, bad AS found FROM read_parquet({literal(str(self.path))})
                WHERE verdict IN ({wanted})
            ) c ON c.n = s.file_row_number {only}"""
        if self.created == self.staged.rows and CREATE in verdicts and not numbers:
            judged = f"SELECT *, true AS created, CAST(NULL AS SMALLINT) AS found FROM {stage}"
        return f"""
        SELECT {"*" if self.records else "* EXCLUDE (key_record)"} FROM (
        SELECT created, CAST({p} AS BLOB) AS p, CAST(k AS BLOB) AS k,
               CAST({row} AS BLOB) AS r, found AS bad, {mapping.sent if sent else mapping.row}
        FROM ({judged}))"""

    def gone_rows(self, verdict: str) -> str:
        """SQL of the records that are gone: (p, k, r, payload); their payload is their key fields."""
        return f"""
        SELECT false AS created, CAST(k AS BLOB) AS p, CAST(k AS BLOB) AS k, CAST(r AS BLOB) AS r,
               CAST(NULL AS SMALLINT) AS bad, decode(record) AS payload
        FROM read_parquet({literal(str(self.gone))}) WHERE verdict = {literal(verdict)}"""


def diff(
    staged: Staged,
    snapshot: Snapshot,
    waiting: Waiting,
    cursor: duckdb.DuckDBPyConnection,
    rules: Rules,
    chosen: bytes = b"",
) -> Changes:
    """Compare; blocks.

    Args:
        waiting: rows that are left out until they change.
        chosen: primary key hashes of the rows that a replay sends.
    """
    path, gone, vanished = (staged.path.with_name(f"{name}.parquet") for name in ("changes", "gone", "vanished"))
    _register(cursor, waiting, chosen)
    p = "k" if staged.own_keys else "p"
    cursor.execute(
        f"CREATE TEMP VIEW staged AS SELECT file_row_number AS n, k, {p} AS p, r, bad "
        f"FROM read_parquet({literal(str(staged.path))}, file_row_number = true)"
    )
    _copy(cursor, _verdicts(staged, snapshot, rules), path)
    _copy(cursor, _gone(snapshot, rules), gone)
    if _deletes(rules) == DELETE and _counts(cursor, gone):
        gone = _respelled(cursor, staged, gone)
    _copy(cursor, _vanished(rules, gone), vanished)
    counts = _counts(cursor, path) | {f"gone:{verdict}": count for verdict, count in _counts(cursor, gone).items()}
    known = cursor.execute(f"SELECT count(*) FROM {snapshot.current}").fetchall()[0][0]
    unidentified = _unidentified(cursor, staged, counts) if _deletes(rules) == DELETE else 0
    other = counts.get("other", 0)
    of_stage = sum(count for verdict, count in counts.items() if not verdict.startswith("gone:"))
    left_in_mirror = counts.get("gone:waiting", 0) + counts.get("gone:respelled", 0)
    in_mirror = counts.get("gone:delete", 0) + left_in_mirror
    return Changes(
        staged=staged,
        path=path,
        gone=gone,
        vanished=vanished,
        records=snapshot.records,
        known=known,
        parts=snapshot.parts,
        read=staged.rows - other + in_mirror,
        unchanged=staged.rows - of_stage + counts.get("settled", 0),
        settled=counts.get("settled", 0),
        created=counts.get(CREATE, 0),
        updated=counts.get(UPDATE, 0),
        deleted=counts.get(DELETE, 0) + counts.get("gone:delete", 0),
        doubtful=counts.get(DOUBTFUL, 0),
        left=counts.get("waiting", 0) + counts.get("left", 0) + left_in_mirror,
        invalid=counts.get("invalid", 0) + counts.get("repeated", 0),
        forgotten=counts.get("gone:forget", 0),
        respelled=counts.get("gone:respelled", 0),
        unidentified=unidentified,
    )


def _register(cursor: duckdb.DuckDBPyConnection, waiting: Waiting, chosen: bytes) -> None:
    cursor.register("waiting", pa.table({"p": hashes(waiting.keys), "r": hashes(waiting.rows)}))
    cursor.register("dismissed", pa.table({"p": hashes(waiting.dismissed_keys), "r": hashes(waiting.dismissed_rows)}))
    cursor.register("chosen", pa.table({"p": hashes(chosen)}))


def _copy(cursor: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    cursor.execute(f"COPY ({sql}) TO {literal(str(path))} (FORMAT parquet)")


def _counts(cursor: duckdb.DuckDBPyConnection, path: Path) -> dict[str, int]:
    found = cursor.execute(f"SELECT verdict, count(*) FROM read_parquet({literal(str(path))}) GROUP BY 1")
    return dict(found.fetchall())


def _verdicts(staged: Staged, snapshot: Snapshot, rules: Rules) -> str:
    """SQL of all rows but the unchanged ones that nothing is to be done about.

    Rows that share a key get that key as row hash: whatever they hold, they wait as long as there are several, and the
    one that remains is sent although nothing in it changed. Of invalid rows with the same p one stands for all, the
    others are `repeated`: there is one dead letter for them.
    """
    shared = f"SELECT k FROM staged WHERE bad IS DISTINCT FROM {NULL_KEY} GROUP BY k HAVING count(*) > 1"
    marked = f"SELECT s.*, t.k IS NOT NULL AS shared FROM staged s LEFT JOIN ({shared}) t ON t.k = s.k"
    waits = "c.p IS NULL AND" if rules.replay else ""
    chosen = "LEFT JOIN chosen c ON c.p = rows.p" if rules.replay else ""
    return f"""
    WITH duplicates AS (
        SELECT p, min(n) AS first FROM staged GROUP BY p HAVING count(*) > 1
    ),
    marked AS ({"SELECT *, false AS shared FROM staged" if staged.own_keys else marked}),
    found AS (
        SELECT s.n, s.k, s.p, s.r, s.n <> d.first AS repeated, CASE
            WHEN s.bad = {NULL_KEY} THEN s.bad
            WHEN d.p IS NOT NULL THEN {DUPLICATE_KEY}
            WHEN s.shared THEN {DUPLICATE_TARGET}
            ELSE s.bad
        END AS bad
        FROM marked s LEFT JOIN duplicates d ON d.p = s.p
    ),
    rows AS (
        SELECT n, k, p, CASE bad WHEN {DUPLICATE_KEY} THEN p WHEN {DUPLICATE_TARGET} THEN k ELSE r END AS r,
               bad, repeated
        FROM found
    ),
    judged AS (
        SELECT rows.n, rows.k, rows.p, rows.r, rows.bad, CASE
            {"WHEN c.p IS NULL THEN 'other'" if rules.replay else ""}
            WHEN {waits} x.r = rows.r AND NOT {rules.resend} THEN 'left'
            WHEN {waits} w.r = rows.r AND NOT {rules.resend} THEN 'waiting'
            WHEN rows.bad IS NOT NULL THEN CASE WHEN repeated THEN 'repeated' ELSE 'invalid' END
            {_mode(rules)}
            {"" if rules.kept else "WHEN w.p IS NOT NULL THEN 'settled'"}
        END AS verdict
        FROM rows LEFT JOIN {snapshot.current} known ON known.k = rows.k
        LEFT JOIN waiting w ON w.p = rows.p LEFT JOIN dismissed x ON x.p = rows.p {chosen}
    )
    SELECT * FROM judged WHERE verdict IS NOT NULL"""


def _mode(rules: Rules) -> str:
    """The branches of the verdict on a valid row; a row that none of them takes is unchanged."""
    unsure = f"known.r IN ({hash_literal(NO_ROW)}, {hash_literal(SENT)})"
    if rules.kept:  # a record that was acknowledged since is newer than the one that was kept
        return f"WHEN known.k IS NOT NULL AND NOT {unsure} THEN 'settled' {_kept(rules)}"
    again = f"{rules.resend} OR {unsure}"
    doubtful = "" if rules.replay else f"WHEN known.r = {hash_literal(SENT)} THEN '{DOUBTFUL}'"
    if rules.semantics == "delete":
        return f"{doubtful} WHEN known.k IS NULL OR {again} THEN '{DELETE}'"
    if rules.semantics == "insert":
        return f"""{doubtful} WHEN known.k IS NULL OR {again} THEN '{CREATE}'
            WHEN known.r <> rows.r THEN 'left'"""
    first = UPDATE if rules.semantics == "update" else CREATE
    if rules.semantics == "append":  # the ledger of what this run, or under a cursor this sync, appended
        return f"{doubtful} WHEN known.k IS NULL OR known.r <> rows.r OR {unsure} THEN '{CREATE}'"
    return f"{doubtful} WHEN known.k IS NULL THEN '{first}' WHEN known.r <> rows.r OR {again} THEN '{UPDATE}'"


def _kept(rules: Rules) -> str:
    """The branches for a kept record of which the destination has nothing newer."""
    if rules.semantics == "delete":
        return f"ELSE '{DELETE}'"
    first = UPDATE if rules.semantics == "update" else CREATE
    return f"WHEN known.k IS NULL THEN '{first}' ELSE '{CREATE if rules.semantics == 'append' else UPDATE}'"


def _deletes(rules: Rules) -> str:
    """What a key means that the source no longer has: a record to delete, one to forget, or nothing."""
    if rules.semantics == "mirror" and rules.complete:
        return DELETE
    return "forget" if rules.semantics == "delete" and rules.complete and not rules.replay else ""


def _gone(snapshot: Snapshot, rules: Rules) -> str:
    """SQL of the keys that the source no longer has.

    A delete that was refused waits like a row: its dead letter hangs on the record's key, with GONE for a row.
    """
    record = "known.record" if snapshot.records else "CAST(NULL AS BLOB) AS record"
    if rules.replay:
        waits, chosen = "false", "SEMI JOIN chosen c ON c.p = known.k"
    else:
        waits, chosen = f"w.r = {hash_literal(GONE)} AND NOT {rules.resend}", ""
    return f"""
    SELECT known.k, known.r, CASE WHEN {waits} THEN 'waiting' ELSE '{_deletes(rules)}' END AS verdict, {record}
    FROM {snapshot.current} known ANTI JOIN staged s ON s.k = known.k {chosen}
    LEFT JOIN waiting w ON w.p = known.k
    WHERE {_deletes(rules) != ""}"""


def _respelled(cursor: duckdb.DuckDBPyConnection, staged: Staged, gone: Path) -> Path:
    """The records that are gone, told apart from those whose key is there in another spelling."""
    path = gone.with_name("respelled.parquet")
    rows = f"SELECT {staged.mapping.row} FROM read_parquet({literal(str(staged.path))})"
    _copy(
        cursor,
        f"""
    SELECT g.* REPLACE (CASE WHEN s.spelling IS NULL THEN g.verdict ELSE 'respelled' END AS verdict)
    FROM read_parquet({literal(str(gone))}) g
    LEFT JOIN (SELECT DISTINCT {_spelling("key_record")} AS spelling FROM ({rows})) s
    ON s.spelling = {_spelling("decode(g.record)")}""",
        path,
    )
    return path


def _spelling(record: str) -> str:
    """SQL of key fields without what destinations overlook in a key: case, accents, outer blanks, zeros, quotes."""
    text = f"""regexp_replace(strip_accents(lower({record})), '"\\s+|\\s+"', '"', 'g')"""
    text = f"regexp_replace(replace({text}, '\"', ''), ':\\+?0+([0-9])', ':\\1', 'g')"
    text = f"regexp_replace({text}, '(\\.[0-9]*?)0+([,}}])', '\\1\\2', 'g')"
    return f"regexp_replace({text}, '\\.([,}}])', '\\1', 'g')"


def _unidentified(cursor: duckdb.DuckDBPyConnection, staged: Staged, counts: dict[str, int]) -> int:
    """Rows that are not written, and may be records that seem to be gone.

    Where the primary key is the record's key only rows without a key can be; elsewhere any row may have changed its
    key.
    """
    if not staged.own_keys:
        return sum(counts.get(verdict, 0) for verdict in ("invalid", "repeated", "waiting"))
    bad = ", ".join(str(bad) for bad in (NULL_KEY, *staged.key_mappings))
    found: int = cursor.execute(f"SELECT count(*) FROM staged WHERE bad IN ({bad})").fetchall()[0][0]
    return found


def _vanished(rules: Rules, gone: Path) -> str:
    """SQL of open dead letters that speak of a row which the source no longer has, or of a delete that is off."""
    waits = hash_literal(GONE)
    return f"""
    SELECT CAST(w.p AS BLOB) AS p FROM waiting w
    ANTI JOIN staged s ON s.p = w.p AND w.r <> {waits}
    ANTI JOIN read_parquet({literal(str(gone))}) g ON g.k = w.p
    WHERE {rules.complete and not rules.replay}"""
