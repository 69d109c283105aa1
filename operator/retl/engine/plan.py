"""What a run is about to write: as a hash that a person's approval can name, and as a document that they can read."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from retl.destinations.base import FieldInfo
from retl.engine.diff import CREATE, DELETE, UPDATE, Changes
from retl.engine.mapping import LOOKUP
from retl.engine.records import REDACTED, find
from retl.engine.snapshot import Snapshot, raw_hashes
from retl.engine.values import literal
from retl.engine.workspace import Workspace
from retl.resources.sync import Mapping
from retl.runspec.capabilities import Capabilities
from retl.runspec.existence import field_of
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
        *_gone(spec, changes, work),
    ]


def drift(
    before: dict[str, str],
    now: pa.Schema,
    spec: RunSpec,
    fields: Sequence[FieldInfo] | None,
    capabilities: Capabilities,
) -> list[Drift]:
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
        mapped = list(dict.fromkeys(field_of(mapping, capabilities) for mapping in spec.mappings))
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
        lookups = "".join(f", l{i}" for i in range(len(changes.staged.mapping.lookups)))
        rows = cursor.sql(f"SELECT payload{lookups} FROM ({changes.rows([verdict], numbers)}) ORDER BY k").fetchall()
    for row in rows:
        shown = _Shown(spec, changes, row)
        yield PlannedChange(
            operation=operation,
            before=None if operation == "create" else shown.key(),
            after=None if operation == "delete" else shown.key(),
            record=None if operation == "delete" else shown.record(),
        )


def _gone(spec: RunSpec, changes: Changes, work: Workspace) -> Iterator[PlannedChange]:
    with work.database.cursor() as cursor:
        rows = cursor.sql(f"SELECT payload FROM ({changes.gone_rows(DELETE)}) ORDER BY k LIMIT {SAMPLE}").fetchall()
    for row in rows:
        yield PlannedChange(operation="delete", before=_Shown(spec, changes, row).key())


class _Shown:
    """A record for people to look at, by destination field as the mappings name it.

    Args:
        row: the payload, and the values that would be looked up for it.
    """

    def __init__(self, spec: RunSpec, changes: Changes, row: Sequence[str | None]) -> None:
        payload, *lookups = row
        assert payload is not None
        for number, value in enumerate(lookups):
            payload = payload.replace(LOOKUP.format(number), value or "null")
        self._payload = payload.encode()
        self._mappings = spec.mappings
        self._nested = changes.staged.mapping.nested

    def key(self) -> dict[str, Any]:
        """The key fields."""
        return self._values(m for m in self._mappings if m.key)

    def record(self) -> dict[str, Any]:
        """The fields that the record has, but sensitive ones."""
        return self._values(m for m in self._mappings if not m.sensitive)

    def _values(self, mappings: Iterable[Mapping]) -> dict[str, Any]:
        found = ((m, find(self._payload, m.destination, nested=self._nested)) for m in mappings)
        return {m.destination: REDACTED if m.sensitive else _parsed(text) for m, text in found if text is not None}


def _parsed(value: bytes) -> Any:
    """Numbers that a float cannot hold stay text."""
    return json.loads(value, parse_float=_number)


def _number(text: str) -> float | str:
    number = float(text)
    return number if Decimal(repr(number)) == Decimal(text) else text
