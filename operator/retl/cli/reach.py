"""Whether both ends of a sync can be reached, and have the columns and fields that its manifest names."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from retl.destinations.base import Destination, Target
from retl.engine.mapping import compile_mapping
from retl.errors import InvalidInput, RetlError
from retl.runner.connect import connectors
from retl.runspec.spec import RunSpec
from retl.sources.base import Source


async def problems(spec: RunSpec, secrets_dir: Path) -> list[str]:
    """What a run would stumble over before its first row; one login at each end, nothing read or written."""
    try:
        source, destination = connectors(spec, secrets_dir)
    except InvalidInput as error:
        return [str(error)]
    ends = await asyncio.gather(_source(spec, source, destination), _destination(spec, destination))
    return [problem for problem in ends if problem]


async def _source(spec: RunSpec, source: Source, destination: Destination) -> str:
    try:
        columns = await asyncio.to_thread(source.columns, spec.query)
        compile_mapping(spec, columns, b"", destination.capabilities.payload, datetime.now(UTC))
    except InvalidInput as error:
        return f"spec.{error}"
    except RetlError as error:
        return f"source {spec.source.name}: {error}"
    return ""


async def _destination(spec: RunSpec, destination: Destination) -> str:
    target = Target(
        object=spec.object,
        mode=spec.mode,
        key=tuple(m.destination for m in spec.mappings if m.key),
        fields=tuple(m.destination for m in spec.mappings),
        timeout=spec.delivery.timeout,
    )
    try:
        await destination.open(target)
    except RetlError as error:
        return f"destination {spec.destination.name}: {error}"
    finally:
        await destination.close()
    return ""
