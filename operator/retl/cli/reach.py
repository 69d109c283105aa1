"""Whether both ends of a sync can be reached, and have the columns and fields that its manifest names."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from retl.destinations.base import BatchRejected, Destination, LoginRefused, LookupRequest, TryLater
from retl.engine import cursor
from retl.engine.mapping import compile_mapping
from retl.engine.pipeline import target
from retl.errors import DestinationError, InvalidInput, RetlError
from retl.resources.sync import Mapping
from retl.runner.connect import connectors
from retl.runspec import existence
from retl.runspec.spec import RunSpec
from retl.sources.base import Source


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
    asked = (spec.mappings, fields, spec.mode, destination.capabilities)
    return Found(
        (*(f"{where}: {problem}" for problem in existence.wrong_fields(*asked)), *lost),
        tuple(f"{where}: {warning}" for warning in existence.missing_fields(*asked)),
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
