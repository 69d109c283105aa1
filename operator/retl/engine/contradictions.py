"""What a manifest asks for that cannot be, as far as it can be told without a connection: each with its field.

Pure. `retl validate` lists it, and a run refuses to begin with it.
"""

from collections.abc import Iterator, Sequence

import duckdb

from retl.engine import expressions, paths
from retl.engine.fields import Origins
from retl.resources.sync import Mapping
from retl.runspec.capabilities import Capabilities
from retl.runspec.spec import RunSpec

_NEEDS_KEY = ("upsert", "update", "delete", "mirror", "insert")
_FACT_CASTS = {"RunTime": ("string", "date", "timestamp"), "Tick": ("string", "date", "timestamp")}


def problems(spec: RunSpec, capabilities: Capabilities) -> list[str]:
    """Contradictions between the manifest's settings, and between them and what the destination can do.

    Args:
        capabilities: of the destination, configured as it is.
    """
    return [*_of_mode(spec, capabilities), *_of_mappings(spec, capabilities)]


def _of_mode(spec: RunSpec, capabilities: Capabilities) -> Iterator[str]:
    if spec.mode not in capabilities.all_modes:
        yield (
            f"mode: connector {spec.destination.connector!r} cannot {spec.mode}; "
            f"it can: {', '.join(capabilities.all_modes)}"
        )
    semantics = capabilities.semantics(spec.mode)
    keyless = spec.all_columns is None and not any(m.key for m in spec.mappings)
    if semantics in _NEEDS_KEY and keyless:
        yield f"mappings: mode {spec.mode} needs a key: mark at least one mapping with key: true"
    if not spec.primary_key:
        yield "primaryKey: name the columns that identify a row"
    if semantics == "mirror" and spec.change_detection.strategy != "Snapshot":
        yield (
            f"changeDetection.strategy: mode {spec.mode} must know every row that was written before; "
            f"{spec.change_detection.strategy} does not, use Snapshot"
        )


def _of_mappings(spec: RunSpec, capabilities: Capabilities) -> Iterator[str]:
    if capabilities.payload == "json":
        for i, problem in paths.problems([m.destination for m in spec.mappings]):
            yield f"mappings[{i}].destination: {problem}"
    semantics = capabilities.semantics(spec.mode)
    for i, mapping in enumerate(spec.mappings):
        where = f"mappings[{i}]"
        if mapping.key:
            yield from (f"{where}.{problem}" for problem in _of_key(mapping))
        if mapping.only_if_empty and not capabilities.only_if_empty:
            yield f"{where}.onlyIfEmpty: connector {spec.destination.connector!r} writes without looking; remove it"
        if mapping.lookup and not capabilities.lookups:
            yield f"{where}.lookup: connector {spec.destination.connector!r} cannot look up records; remove it"
        if mapping.lookup and semantics == "delete":
            yield f"{where}.lookup: a record to delete needs no value looked up; map its key alone"
        if mapping.expression is not None:
            try:
                expressions.parse(mapping.expression, None)
            except expressions.Refused as reason:
                yield f"{where}.expression: {reason}"
    yield from _uncastable(spec.mappings)


def _of_key(mapping: Mapping) -> Iterator[str]:
    if mapping.metadata is not None:
        yield "metadata: what the run says of itself differs from run to run, and cannot be a key"
    if mapping.lookup is not None:
        yield "lookup: a record is told apart by its key before anything is looked up; look up another field"
    if mapping.skip_nulls:
        yield "skipNulls: a key is never NULL: such a row is invalid; remove it"
    if mapping.only_if_empty:
        yield "onlyIfEmpty: a key is always written; remove it"


def _uncastable(mappings: Sequence[Mapping]) -> Iterator[str]:
    """Constants that cannot be cast: every row would be invalid for their sake."""
    with duckdb.connect() as database:
        for i, mapping in enumerate(mappings):
            if mapping.cast is None:
                continue
            if mapping.metadata is not None and mapping.cast not in _FACT_CASTS.get(mapping.metadata, ("string",)):
                yield f"mappings[{i}].cast: {mapping.metadata} cannot be cast to {mapping.cast}"
            if mapping.value is not None:
                made = Origins({}, {}, {}).field(i, mapping).value.sql
                if database.execute(f"SELECT ({made}) IS NULL").fetchone() == (True,):
                    shown = "it" if mapping.sensitive else repr(mapping.value)
                    yield f"mappings[{i}].value: {shown} cannot be cast to {mapping.cast}"
