"""Whether objects can be used as they are, and in which words not.

Pure: objects come in, a problem or a RunSpec goes out. The same models check a manifest in `retl validate`, here,
and in the runner.
"""

from collections.abc import Collection, Sequence
from typing import TypeVar

from pydantic import ValidationError

from retl.controller.decision import Problem
from retl.destinations.registry import DESTINATIONS
from retl.errors import InvalidInput
from retl.resources import Resource, ReverseETLSync, SyncDestination, SyncRun, SyncSource
from retl.resources.kinds import Manifest
from retl.resources.problems import describe
from retl.runspec import Connection, RunSpec, contradictions, existence
from retl.runspec.capabilities import Capabilities
from retl.runspec.catalog import Catalog
from retl.runspec.check import definition_of
from retl.runspec.connectors import Registry, UnknownConnector
from retl.runspec.resolve import Lookup, resolve
from retl.schedule import validate
from retl.sources.registry import SOURCES

R = TypeVar("R", bound=Resource)
_TOLD = 5
"""Of more problems of one kind, the others are a number."""


def read(model: type[R], manifest: Manifest) -> R | Problem:
    """An object, or why our model refuses what the API server took."""
    try:
        return model.read(manifest)
    except ValidationError as error:
        return Problem("InvalidSpec", "; ".join(describe(error, "", model)))


def resolved(sync: ReverseETLSync, run: SyncRun, lookup: Lookup) -> RunSpec | Problem:
    """What the runner of this run would be told, if everything it refers to is there and can be used."""
    try:
        spec = resolve(sync, run, lookup)
        _check_connection(SOURCES, SyncSource, spec.source)
        _check_connection(DESTINATIONS, SyncDestination, spec.destination)
        capabilities = _capabilities(spec.destination)
        found = contradictions.problems(spec, capabilities) if capabilities else []
    except InvalidInput as error:
        return Problem(error.reason, str(error))
    return Problem("InvalidSpec", f"spec.{'; spec.'.join(found)}") if found else spec


def sync_problem(sync: ReverseETLSync, lookup: Lookup) -> RunSpec | Problem:
    """What keeps a sync from running, as far as objects in the cache can tell; else what a run would be told."""
    try:
        if sync.spec.schedule:
            validate(sync.spec.schedule)
    except InvalidInput as error:
        return Problem(error.reason, f"spec.{error}")
    return resolved(sync, _any_run(sync), lookup)


def existence_problem(
    spec: RunSpec, row_set: str, source: Catalog | None, destination: Catalog | None
) -> Problem | None:
    """What the manifest names and the last checks did not find. What no check has looked at is not held against it.

    Args:
        row_set: name of the row set in the source's catalog.
    """
    rows = source.object(row_set) if source else None
    if rows and not rows.problem and rows.definition == definition_of(spec.query):
        found = existence.missing_columns(spec, [field.name for field in rows.fields])
        if found:
            return Problem("ColumnNotFound", _first(found))
    target = destination.object(spec.object) if destination else None
    if target and not target.problem:
        capabilities = _capabilities(spec.destination)
        if capabilities is None:
            return None
        wrong = list(existence.wrong_fields(spec.mappings, target.fields, spec.mode, capabilities))
        if wrong:
            where = f"SyncDestination {spec.destination.name}, object {spec.object!r}"
            return Problem("FieldNotFound", f"{where}: {_first(wrong)}")
    return None


def _first(problems: Sequence[str]) -> str:
    more = len(problems) - _TOLD
    return "; ".join([*problems[:_TOLD], *([f"and {more} more"] if more > 0 else [])])


def connection_problem(connection: SyncSource | SyncDestination) -> Problem | None:
    """What is wrong with a connection's connector or its settings."""
    registry = SOURCES if isinstance(connection, SyncSource) else DESTINATIONS
    try:
        registry.check(connection.spec.connector, connection.spec.config)
    except UnknownConnector:
        return None  # the runner's image may have it; the check of the connection says so if it has not
    except InvalidInput as error:
        return Problem("InvalidConfig", f"spec.{error}")
    return None


def secret_problem(missing: Collection[str], namespace: str, spec: RunSpec | None = None) -> Problem | None:
    """Secrets that are not there. Nothing tells the controller when one appears, so it looks again.

    Args:
        spec: says which source or destination names them; None when the connection itself is told.
    """
    if not missing:
        return None
    ends = [("SyncSource", spec.source), ("SyncDestination", spec.destination)] if spec else []
    owners = [(f"{kind} {end.name}: ", end.secret) for kind, end in ends if end.secret in missing]
    lines = [
        f"{owner}spec.credentials.secretRef.name: there is no Secret {name!r} in namespace {namespace!r}"
        for owner, name in owners or [("", name) for name in missing]
    ]
    return Problem("SecretNotFound", "; ".join(lines), passing=True)


def secrets_of(spec: RunSpec) -> list[str]:
    """Names of the Secrets that a run needs, each once, in a stable order."""
    return sorted({c.secret for c in (spec.source, spec.destination) if c.secret})


def _check_connection(registry: Registry, model: type[Resource], connection: Connection) -> None:
    try:
        registry.check(connection.connector, connection.config)
    except UnknownConnector:
        return
    except InvalidInput as error:
        raise InvalidInput(f"{model.__name__} {connection.name}: spec.{error}") from None


def _capabilities(connection: Connection) -> Capabilities | None:
    """What a destination can do; None if its connector is not installed here."""
    try:
        return DESTINATIONS.capabilities(connection)
    except UnknownConnector:
        return None


def _any_run(sync: ReverseETLSync) -> SyncRun:
    """A run of the sync, to try whether it could be resolved."""
    name = sync.metadata.name
    metadata = {"name": name, "namespace": sync.metadata.namespace}
    spec = {"syncRef": {"name": name}}
    run = {"apiVersion": sync.api_version, "kind": "SyncRun", "metadata": metadata, "spec": spec, "status": {}}
    return SyncRun.read(run)  # with a status: to copy the one that it has by default takes longer than all else here
