"""Whether both ends of a sync can be reached, and have the columns and fields that its manifest names."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from retl.destinations.base import BatchRejected, Destination, FieldInfo, LoginRefused, LookupRequest, TryLater
from retl.engine import cursor, paths
from retl.engine.mapping import compile_mapping
from retl.engine.pipeline import target
from retl.errors import DestinationError, InvalidInput, RetlError
from retl.resources.sync import Mapping
from retl.runner.connect import connectors
from retl.runspec.spec import RunSpec
from retl.sources.base import Source

_INSERTING = ("upsert", "insert", "mirror", "append")


@dataclass(frozen=True, slots=True)
class Found:
    """What the two ends said: what a run would stumble over, and what it may."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


async def look(spec: RunSpec, secrets_dir: Path) -> Found:
    """Log in once at each end, and write nothing."""
    try:
        source, destination = connectors(spec, secrets_dir)
    except InvalidInput as error:
        return Found((str(error),))
    mappings, problem = await _mapped(spec, source, destination)
    there = await _there(spec.model_copy(update={"mappings": mappings}), destination)
    return Found((*([problem] if problem else []), *there.problems), there.warnings)


async def _mapped(spec: RunSpec, source: Source, destination: Destination) -> tuple[list[Mapping], str]:
    """The mappings with all columns written out, and what is wrong at the source."""
    try:
        columns = await asyncio.to_thread(source.columns, spec.query)
        projection = compile_mapping(spec, columns, b"", destination.capabilities.payload, datetime.now(UTC))
        cursor.check(spec.change_detection, columns)
    except InvalidInput as error:
        return spec.mappings, f"spec.{error}"
    except RetlError as error:
        return spec.mappings, f"source {spec.source.name}: {error}"
    return list(projection.mappings), ""


async def _there(spec: RunSpec, destination: Destination) -> Found:
    where = f"destination {spec.destination.name}"
    try:
        await destination.open(target(spec))
        fields = await destination.fields()
        lookups = [problem async for problem in _unanswerable(spec.mappings, destination)]
    except RetlError as error:
        return Found((f"{where}: {error}",))
    finally:
        await destination.close()
    lost = tuple(f"{where}: {problem}" for problem in lookups)
    if fields is None:
        return Found(lost)
    inserts = destination.capabilities.semantics(spec.mode) in _INSERTING
    names = [_field(m.destination, destination.capabilities.payload) for m in spec.mappings]
    return Found(
        (*(f"{where}: {problem}" for problem in _wrong(names, fields)), *lost),
        tuple(f"{where}: {warning}" for warning in _missing(names, fields) if inserts),
    )


async def _unanswerable(mappings: Sequence[Mapping], destination: Destination) -> AsyncIterator[str]:
    """Lookups in what the destination does not have; asked for null, which no record has and every type takes."""
    for i, mapping in enumerate(mappings):
        if mapping.lookup is None:
            continue
        request = LookupRequest(mapping.lookup.object, mapping.lookup.match_field, mapping.lookup.return_field)
        try:
            await destination.lookup(request, [b"null"])
        except LoginRefused:
            raise
        except DestinationError as error:
            yield f"spec.mappings[{i}].lookup: {error}"
        except (TryLater, BatchRejected):
            continue  # that says nothing of the lookup


def _field(name: str, payload: str) -> str:
    """The destination's field that a mapping writes: of a path, its first step."""
    return str(paths.parse(name)[0]) if payload == "json" else name


def _wrong(names: Sequence[str], fields: Sequence[FieldInfo]) -> Iterator[str]:
    known = {field.name: field for field in fields}
    for i, name in enumerate(names):
        if name not in known:
            guess = get_close_matches(name, known, 1)
            hint = f"did you mean {guess[0]!r}?" if guess else f"it has: {', '.join(known)}"
            yield f"spec.mappings[{i}].destination: there is no field {name!r}; {hint}"
        elif known[name].read_only:
            yield f"spec.mappings[{i}].destination: {name!r} cannot be written; take it out of the mappings"


def _missing(names: Sequence[str], fields: Sequence[FieldInfo]) -> Iterator[str]:
    for field in fields:
        if field.required and field.name not in names:
            yield f"field {field.name!r} is required and not mapped; a new record would be refused"
