"""What a run is about to write: as a hash that a person's approval can name, and as a document that they can read."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from retl.destinations.base import FieldInfo
from retl.engine.diff import CREATE, DELETE, UPDATE, Changes
from retl.engine.snapshot import Snapshot, raw_hashes
from retl.engine.values import literal
from retl.engine.workspace import Workspace
from retl.runspec.plan import Drift, Estimate, Operation, PlannedChange
from retl.runspec.spec import RunSpec

HASH_LENGTH = 32
SAMPLE = 5
"""Changes of each operation that a plan shows."""
_ROWS = 65_536


def plan_hash(baseline: str, snapshot: Snapshot, changes: Changes, work: Workspace) -> str:
    """Hash over the planned changes in the order of their keys; blocks.

    The snapshot's last part is in it, so an approval is spent once its run has written anything: no later plan has
    this hash again.
    """
    digest = hashlib.sha256(f"{baseline}\0{snapshot.last}\0".encode())
    with work.database.cursor() as cursor:
        planned = cursor.sql(
            "SELECT CAST(k AS BLOB) AS k, CAST(r AS BLOB) AS r, verdict FROM ("
            f"SELECT k, r, verdict FROM read_parquet({literal(str(changes.path))}) "
            f"WHERE verdict IN ('{CREATE}', '{UPDATE}', '{DELETE}') UNION ALL "
            f"SELECT k, r, verdict FROM read_parquet({literal(str(changes.gone))}) WHERE verdict = '{DELETE}') "
            "ORDER BY 1, 2"
        ).to_arrow_reader(_ROWS)
        for batch in planned:
            digest.update(raw_hashes(batch.column("k")))
            digest.update(raw_hashes(batch.column("r")))
            digest.update("".join(verdict[0] for verdict in batch.column("verdict").to_pylist()).encode())
    return digest.hexdigest()[:HASH_LENGTH]


def samples(spec: RunSpec, changes: Changes, work: Workspace) -> list[PlannedChange]:
    """Some changes of each operation; blocks."""
    return [
        *_sample(spec, changes, work, CREATE, "create"),
        *_sample(spec, changes, work, UPDATE, "update"),
        *_sample(spec, changes, work, DELETE, "delete"),
        *_gone(changes, work),
    ]


def drift(before: dict[str, str], now: pa.Schema, spec: RunSpec, fields: Sequence[FieldInfo] | None) -> list[Drift]:
    """How the query's columns differ from those of the last run, and the destination's fields from the mappings."""
    columns = {field.name: str(field.type) for field in now}
    found = []
    if before:
        found += [Drift(kind="ColumnGone", name=n, before=t) for n, t in before.items() if n not in columns]
        found += [Drift(kind="ColumnAdded", name=n, after=t) for n, t in columns.items() if n not in before]
        found += [
            Drift(kind="TypeChanged", name=n, before=before[n], after=t)
            for n, t in columns.items()
            if n in before and before[n] != t
        ]
    if fields is not None:
        known = {field.name: field for field in fields}
        mapped = [m.destination for m in spec.mappings]
        found += [Drift(kind="FieldGone", name=name) for name in mapped if name not in known]
        found += [Drift(kind="FieldReadOnly", name=name) for name in mapped if name in known and known[name].read_only]
    return found


def estimate(spec: RunSpec, changes: Changes, batch: int) -> Estimate:
    """Calls, and the least time that they take under the destination's rate limit."""
    operations = {"write": changes.created + changes.updated, "delete": changes.deleted}
    calls = {name: -(-records // batch) for name, records in operations.items() if records}
    limit = spec.destination.rate_limit
    seconds = sum(calls.values()) * limit.per.total_seconds() / limit.requests if limit else None
    return Estimate(calls=calls, seconds=seconds)


def _sample(
    spec: RunSpec, changes: Changes, work: Workspace, verdict: str, operation: Operation
) -> Iterator[PlannedChange]:
    with work.database.cursor() as cursor:
        chosen = cursor.execute(
            f"SELECT n FROM read_parquet({literal(str(changes.path))}) WHERE verdict = '{verdict}' "
            f"ORDER BY k LIMIT {SAMPLE}"
        ).fetchall()
        if not chosen:
            return
        numbers = ", ".join(str(n) for (n,) in chosen)
        rows = cursor.sql(f"SELECT payload FROM ({changes.rows([verdict], numbers)}) ORDER BY k").fetchall()
    hidden = {m.destination for m in spec.mappings if m.sensitive}
    keys = {m.destination for m in spec.mappings if m.key}
    for (payload,) in rows:
        record = {name: value for name, value in _parsed(payload).items() if name not in hidden}
        key = {name: value for name, value in record.items() if name in keys}
        yield PlannedChange(
            operation=operation,
            before=None if operation == "create" else key,
            after=None if operation == "delete" else key,
            record=None if operation == "delete" else record,
        )


def _gone(changes: Changes, work: Workspace) -> Iterator[PlannedChange]:
    with work.database.cursor() as cursor:
        records = cursor.sql(f"SELECT payload FROM ({changes.gone_rows(DELETE)}) ORDER BY k LIMIT {SAMPLE}").fetchall()
    for (record,) in records:
        yield PlannedChange(operation="delete", before=_parsed(record))


def _parsed(payload: str) -> dict[str, Any]:
    """A record for people to look at: numbers that a float cannot hold stay text."""
    found = json.loads(payload, parse_float=_number)
    assert isinstance(found, dict)
    return found


def _number(text: str) -> float | str:
    number = float(text)
    return number if Decimal(repr(number)) == Decimal(text) else text
