"""What a manifest asks for that cannot be, as far as it can be told without a connection: each with its field.

Pure. `retl validate` lists it, and a run refuses to begin with it.
"""

from collections.abc import Iterator, Sequence

import duckdb

from retl.engine.fields import Origins
from retl.resources.sync import Mapping
from retl.runspec import contradictions, paths
from retl.runspec.capabilities import Capabilities
from retl.runspec.spec import RunSpec

_FACT_CASTS = {"RunTime": ("string", "date", "timestamp"), "Tick": ("string", "date", "timestamp")}


def problems(spec: RunSpec, capabilities: Capabilities) -> list[str]:
    """Contradictions between the manifest's settings, and between them and what the destination can do.

    Args:
        capabilities: of the destination, configured as it is.
    """
    return [*contradictions.problems(spec, capabilities), *_of_mappings(spec, capabilities)]


def _of_mappings(spec: RunSpec, capabilities: Capabilities) -> Iterator[str]:
    if capabilities.payload == "json":
        for i, problem in paths.problems([m.destination for m in spec.mappings]):
            yield f"mappings[{i}].destination: {problem}"
    for i, mapping in enumerate(spec.mappings):
        if mapping.expression is not None:
            from retl.engine import expressions  # as in mapping

            try:
                expressions.parse(mapping.expression, None)
            except expressions.Refused as reason:
                yield f"mappings[{i}].expression: {reason}"
    yield from _uncastable(spec.mappings)


def _uncastable(mappings: Sequence[Mapping]) -> Iterator[str]:
    """Constants that cannot be cast: every row would be invalid for their sake."""
    constants = [(i, m) for i, m in enumerate(mappings) if m.cast is not None and (m.value, m.metadata) != (None, None)]
    if not constants:
        return
    with duckdb.connect() as database:
        for i, mapping in constants:
            assert mapping.cast is not None
            if mapping.metadata is not None and mapping.cast not in _FACT_CASTS.get(mapping.metadata, ("string",)):
                yield f"mappings[{i}].cast: {mapping.metadata} cannot be cast to {mapping.cast}"
            if mapping.value is not None:
                made = Origins({}, {}, {}).field(i, mapping).value.sql
                if database.execute(f"SELECT ({made}) IS NULL").fetchone() == (True,):
                    shown = "it" if mapping.sensitive else repr(mapping.value)
                    yield f"mappings[{i}].value: {shown} cannot be cast to {mapping.cast}"
