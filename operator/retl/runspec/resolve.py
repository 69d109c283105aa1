"""A sync and what it refers to, resolved into a RunSpec or into one sentence that says what is missing."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from retl.errors import InvalidInput, Unresolved
from retl.resources import Resource, ReverseETLSync, SyncDestination, SyncModel, SyncRun, SyncSource
from retl.resources.marks import TRIGGERED_BY
from retl.runspec.spec import Connection, Query, RunIdentity, RunSpec, SyncIdentity

R = TypeVar("R", bound=Resource)
Lookup = Callable[[type[Resource], str], Resource | None]
"""Finds an object by kind and name in the sync's namespace."""


def resolve(sync: ReverseETLSync, run: SyncRun, lookup: Lookup, *, attempt: int = 1) -> RunSpec:
    """Everything the runner needs for this run.

    Raises:
        Unresolved: a reference names an object that does not exist.
        InvalidInput: the objects contradict each other.
    """
    spec = sync.spec
    owner: Resource = sync
    if spec.query is not None:
        query = Query(sql=spec.query.sql)
        source_name, field = spec.query.source_ref.name, "spec.query.sourceRef.name"
        key = spec.primary_key
    else:
        assert spec.model_ref is not None  # exactly one of the two, by the model
        model = _find(SyncModel, spec.model_ref.name, sync, "spec.modelRef.name", lookup)
        query = Query(sql=model.spec.sql, table=model.spec.table)
        source_name, field = model.spec.source_ref.name, "spec.sourceRef.name"
        owner, key = model, spec.primary_key or model.spec.primary_key
    source = _find(SyncSource, source_name, owner, field, lookup)
    destination = _find(SyncDestination, spec.destination_ref.name, sync, "spec.destinationRef.name", lookup)
    if not key:
        raise InvalidInput(
            f"ReverseETLSync {sync.metadata.name}: no primary key; set spec.primaryKey here "
            f"or on {owner.kind} {owner.metadata.name}"
        )
    return RunSpec(
        run=RunIdentity(
            name=run.metadata.name,
            uid=run.metadata.uid,
            attempt=attempt,
            mode=run.spec.mode,
            full_refresh=run.spec.full_refresh,
            replay=run.spec.replay,
            tick=run.spec.tick,
            approved_plan=run.spec.approval.plan_hash if run.spec.approval else None,
            created_at=run.metadata.creation_timestamp,
            triggered_by=_triggered_by(run),
        ),
        sync=SyncIdentity(
            namespace=sync.metadata.namespace,
            name=sync.metadata.name,
            uid=sync.metadata.uid,
            generation=sync.metadata.generation,
        ),
        source=connection(source),
        query=query,
        destination=connection(destination).model_copy(update={"rate_limit": destination.spec.rate_limit}),
        object=spec.object,
        mode=spec.mode,
        primary_key=list(key),
        mappings=list(spec.mappings),
        all_columns=spec.all_columns,
        change_detection=spec.change_detection,
        delivery=spec.delivery,
        guards=spec.guards,
        dead_letters=spec.dead_letters,
        freshness=spec.schedule.freshness if spec.schedule and run.spec.tick else None,
    )


def _triggered_by(run: SyncRun) -> UUID | None:
    """Who asked the API for it; anybody who may make a SyncRun may have written anything there."""
    try:
        return UUID(run.metadata.annotations.get(TRIGGERED_BY, ""))
    except ValueError:
        return None


def _find(kind: type[R], name: str, owner: Resource, field: str, lookup: Lookup) -> R:
    found = lookup(kind, name)
    if isinstance(found, kind):
        return found
    raise Unresolved(
        f"{owner.kind} {owner.metadata.name}: {field}: there is no {kind.__name__} {name!r} "
        f"in namespace {owner.metadata.namespace!r}",
        reason=f"{kind.__name__.removeprefix('Sync')}NotFound",
    )


def connection(owner: SyncSource | SyncDestination) -> Connection:
    """How a runner reaches it, apart from how fast it may send."""
    spec = owner.spec
    return Connection(
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        connector=spec.connector,
        config=spec.config,
        secret=spec.credentials.secret_ref.name if spec.credentials else None,
    )
