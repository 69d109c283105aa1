"""`retl connectors`: what is installed, and what it can do."""

from dataclasses import asdict, dataclass

import orjson
import typer

from retl.cli.text import table
from retl.destinations.registry import DESTINATIONS
from retl.runspec.connectors import BrokenConnector, Registry
from retl.sources.registry import SOURCES


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector as people see it; what settings change is that of its example's settings.

    Attributes:
        results: record, job or aggregate; empty for a source.
        problem: why it cannot be loaded.
    """

    name: str
    kind: str
    version: str
    modes: tuple[str, ...] = ()
    results: str = ""
    batch: int = 0
    max_batch: int = 0
    max_bytes: int | None = None
    nulls: str = ""
    describes: bool = False
    problem: str = ""


def installed() -> list[Connector]:
    """All of them, by kind and name."""
    return [
        _connector(registry, kind, name)
        for registry, kind in ((SOURCES, "SyncSource"), (DESTINATIONS, "SyncDestination"))
        for name in registry.names()
    ]


def show(*, as_json: bool) -> None:
    """Print them."""
    found = installed()
    if as_json:
        typer.echo(orjson.dumps([asdict(each) for each in found]).decode())
        return
    rows = [
        [each.name, each.kind, ", ".join(each.modes), each.results, str(each.batch or ""), each.version, each.problem]
        for each in found
    ]
    typer.echo(table(["CONNECTOR", "KIND", "MODES", "RESULTS", "BATCH", "VERSION", "PROBLEM"], rows))


def _connector(registry: Registry, kind: str, name: str) -> Connector:
    version = registry.version(name)
    try:
        info = registry.info(name)
    except BrokenConnector as error:
        return Connector(name, kind, version, problem=str(error))
    if info.capabilities is None:
        return Connector(name, kind, version)
    can = info.capabilities(registry.check(name, info.example))
    return Connector(
        name,
        kind,
        version,
        modes=tuple(can.all_modes),
        results=can.results,
        batch=can.default_batch,
        max_batch=can.max_batch,
        max_bytes=can.max_bytes,
        nulls=can.nulls,
        describes=can.describes,
    )
