"""What a manifest asks for that cannot be, as far as it can be told without a connection: each with its field.

Pure. `retl validate` lists it, and a run refuses to begin with it. Only what needs the engine is found here.
"""

from collections.abc import Iterator, Sequence

import duckdb

from retl.engine.fields import Origins
from retl.resources.sync import Mapping
from retl.runspec import contradictions
from retl.runspec.capabilities import Capabilities
from retl.runspec.spec import RunSpec


def problems(spec: RunSpec, capabilities: Capabilities) -> list[str]:
    """Contradictions between the manifest's settings, and between them and what the destination can do.

    Args:
        capabilities: of the destination, configured as it is.
    """
    return [*contradictions.problems(spec, capabilities), *_refused(spec.mappings), *_uncastable(spec.mappings)]


def _refused(mappings: Sequence[Mapping]) -> Iterator[str]:
    for i, mapping in enumerate(mappings):
        if mapping.expression is not None:
            from retl.engine import expressions  # as in mapping

            try:
                expressions.parse(mapping.expression, None)
            except expressions.Refused as reason:
                yield f"mappings[{i}].expression: {reason}"


def _uncastable(mappings: Sequence[Mapping]) -> Iterator[str]:
    """Constants that cannot be cast: every row would be invalid for their sake."""
    constants = [(i, mapping) for i, mapping in enumerate(mappings) if mapping.cast and mapping.value is not None]
    if not constants:
        return
    with duckdb.connect() as database:
        for i, mapping in constants:
            made = Origins({}, {}, {}).field(i, mapping).value.sql
            if database.execute(f"SELECT ({made}) IS NULL").fetchone() == (True,):
                shown = "it" if mapping.sensitive else repr(mapping.value)
                yield f"mappings[{i}].value: {shown} cannot be cast to {mapping.cast}"
