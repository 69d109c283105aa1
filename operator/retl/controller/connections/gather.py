"""Collects what is known of a SyncSource, SyncDestination or SyncModel."""

from dataclasses import dataclass
from datetime import datetime

from retl.controller.checks import connection_problem, read, secret_problem
from retl.controller.connections.check_view import check_view, confirmed_check
from retl.controller.connections.checking import CheckView
from retl.controller.connections.claims import confirmed as confirmed_claims
from retl.controller.connections.slots import Claim, limit_of
from retl.controller.decision import Problem
from retl.controller.facts import status_of
from retl.controller.kinds import Key
from retl.controller.world import World
from retl.resources import KINDS, SyncDestination, SyncModel, SyncSource
from retl.resources.destination import DestinationStatus
from retl.resources.kinds import DESTINATION, MODEL, SOURCE, Manifest
from retl.resources.meta import ObjectMeta
from retl.resources.source import ConnectionStatus
from retl.runspec.check import definition_of
from retl.runspec.spec import Query


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """A connection or model, and what is wrong with it.

    Attributes:
        limit: maxConcurrentRuns of a destination.
        claims: of runs that want a slot of it, or have one.
        check: of a source or destination.
    """

    meta: ObjectMeta
    status: ConnectionStatus
    problem: Problem | None
    limit: int | None = None
    claims: tuple[Claim, ...] = ()
    check: CheckView | None = None


async def gather(world: World, key: Key, now: datetime, refused: str = "") -> tuple[ConnectionView, Manifest] | None:
    """The view, and the version that was looked at; None when it is gone.

    Args:
        refused: why Kubernetes did not take the Job of the check that is under way.
    """
    manifest = world.cache.get(key)
    if manifest is None:
        world.wanted.forget(key)
        return None
    job = None
    if key.kind != MODEL:
        confirmed, job = await confirmed_check(world, key, manifest)
        if confirmed is None:
            return None
        manifest = confirmed
    view = ConnectionView(
        meta=ObjectMeta.model_validate(manifest["metadata"]),
        status=status_of(DestinationStatus if key.kind == DESTINATION else ConnectionStatus, manifest),
        problem=await _problem(world, key, manifest),
        limit=limit_of(manifest) if key.kind == DESTINATION else None,
        claims=await confirmed_claims(world, key, manifest, now) if key.kind == DESTINATION else (),
        check=None if key.kind == MODEL else check_view(world, key, manifest, job, now, refused),
    )
    return view, manifest


async def _problem(world: World, key: Key, manifest: Manifest) -> Problem | None:
    found = read(KINDS[key.kind], manifest)
    if isinstance(found, Problem):
        return found
    if isinstance(found, SyncModel):
        return await _model_problem(world, key, found)
    assert isinstance(found, SyncSource | SyncDestination)
    if problem := connection_problem(found):
        return problem
    names = [found.spec.credentials.secret_ref.name] if found.spec.credentials else []
    return secret_problem(await world.secrets.missing(key.namespace, names), key.namespace)


async def _model_problem(world: World, key: Key, model: SyncModel) -> Problem | None:
    source = Key(SOURCE, key.namespace, model.spec.source_ref.name)
    if world.cache.get(source) is None:
        where = f"in namespace {key.namespace!r}"
        return Problem("SourceNotFound", f"spec.sourceRef.name: there is no SyncSource {source.name!r} {where}")
    catalog = await world.catalog(source)
    rows = catalog.object(f"{MODEL}/{key.name}") if catalog else None
    query = Query(sql=model.spec.sql, table=model.spec.table)
    if rows is None or not rows.problem or rows.definition != definition_of(query):
        return None
    return Problem("RowsUnreadable", f"its columns cannot be read from SyncSource {source.name}: {rows.problem}")
