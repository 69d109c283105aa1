"""What a sync asks of its destination that the connector, configured as it is, cannot do: each with its field.

Pure, and without a driver or an SQL parser: the controller says it in a condition before a run is made.
"""

from collections.abc import Iterator

from retl.resources.sync import Mapping
from retl.runspec import paths
from retl.runspec.capabilities import Capabilities
from retl.runspec.spec import RunSpec

_FACT_CASTS = {"RunTime": ("string", "date", "timestamp"), "Tick": ("string", "date", "timestamp")}


def problems(spec: RunSpec, capabilities: Capabilities) -> list[str]:
    """Contradictions between the manifest's settings, and between them and what the destination can do."""
    return [*_of_mode(spec, capabilities), *_of_mappings(spec, capabilities)]


def _of_mode(spec: RunSpec, capabilities: Capabilities) -> Iterator[str]:
    if spec.mode not in capabilities.all_modes:
        yield (
            f"mode: destination connector {spec.destination.connector!r} does not support {spec.mode!r}; "
            f"it supports: {', '.join(capabilities.all_modes)}"
        )
    semantics = capabilities.semantics(spec.mode)
    if semantics != "append" and spec.all_columns is None and not any(m.key for m in spec.mappings):
        yield f"mappings: mode {spec.mode} needs a key: mark at least one mapping with key: true"
    if not spec.primary_key:
        yield "primaryKey: name the columns that identify a row"
    if semantics == "mirror" and spec.change_detection.strategy == "Cursor":
        yield f"changeDetection.strategy: mode {spec.mode} must read every row to know which are gone; use Snapshot"


def _of_mappings(spec: RunSpec, capabilities: Capabilities) -> Iterator[str]:
    connector = repr(spec.destination.connector)
    deletes = capabilities.semantics(spec.mode) == "delete"
    for i, mapping in enumerate(spec.mappings):
        where = f"mappings[{i}]"
        if mapping.key:
            yield from (f"{where}.{problem}" for problem in _of_key(mapping))
        if mapping.only_if_empty and not capabilities.only_if_empty:
            yield f"{where}.onlyIfEmpty: connector {connector} writes without looking; remove it"
        if mapping.lookup and not capabilities.lookups:
            yield f"{where}.lookup: connector {connector} cannot look up records; remove it"
        if mapping.lookup and deletes:
            yield f"{where}.lookup: a record to delete needs no value looked up; map its key alone"
        if mapping.metadata and mapping.cast and mapping.cast not in _FACT_CASTS.get(mapping.metadata, ("string",)):
            yield f"{where}.cast: {mapping.metadata} cannot be cast to {mapping.cast}"
    if capabilities.payload == "json":
        for i, problem in paths.problems([mapping.destination for mapping in spec.mappings]):
            yield f"mappings[{i}].destination: {problem}"


def _of_key(mapping: Mapping) -> Iterator[str]:
    if mapping.metadata is not None:
        yield "metadata: what the run says of itself differs from run to run, and cannot be a key"
    if mapping.lookup is not None:
        yield "lookup: a record is told apart by its key before anything is looked up; look up another field"
    if mapping.skip_nulls:
        yield "skipNulls: a key is never NULL: such a row is invalid; remove it"
    if mapping.only_if_empty:
        yield "onlyIfEmpty: a key is always written; remove it"
