"""Manifests without a cluster: what the API server and the controller would add, added here."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from retl import schedule
from retl.errors import InvalidInput, Unresolved
from retl.resources import Resource, ReverseETLSync, SyncRun
from retl.resources.fields import NameRef
from retl.resources.manifests import load
from retl.resources.meta import API_VERSION, ObjectMeta
from retl.resources.names import local_run_name, local_uid
from retl.resources.problems import suggestion
from retl.resources.run import Approval, Replay, RunMode, SyncRunSpec
from retl.runspec.resolve import Lookup, resolve
from retl.runspec.spec import RunSpec

R = TypeVar("R", bound=Resource)
STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Request:
    """What to do with a sync, as the options say."""

    mode: RunMode = "Sync"
    full_refresh: bool = False
    approve: str | None = None
    replay: Replay | None = None


def read(files: Sequence[Path]) -> list[Resource]:
    """The objects in files and directories, in order, each with the uid it has on every machine.

    Raises:
        InvalidInput: one line a problem.
    """
    loaded = load([Path("/dev/stdin") if file == STDIN else file for file in files])
    return [_with_uid(resource) for resource in loaded]


def lookup(objects: Sequence[Resource], namespace: str) -> Lookup:
    """Finds objects of one namespace by kind and name."""
    found = {(type(o), o.metadata.name): o for o in objects if o.metadata.namespace == namespace}
    return lambda kind, name: found.get((kind, name))


def choose(objects: Sequence[Resource], name: str | None, request: Request) -> list[ReverseETLSync]:
    """The syncs to run, in file order: all, or the one of that name. A Draft can be planned and not run.

    Raises:
        InvalidInput: there is none; the message names those there are.
    """
    syncs = [o for o in objects if isinstance(o, ReverseETLSync)]
    if not syncs:
        raise InvalidInput("no ReverseETLSync in these files; add the file that holds it with -f")
    named = [sync for sync in syncs if name in (None, sync.metadata.name)]
    if not named:
        raise Unresolved(
            f"--sync: no ReverseETLSync {name!r} in these files"
            + suggestion(name or "", [sync.metadata.name for sync in syncs]),
            reason="SyncNotFound",
        )
    chosen = [sync for sync in named if request.mode == "Plan" or sync.spec.state != "Draft"]
    if not chosen:
        raise InvalidInput(f"ReverseETLSync {named[0].metadata.name}: is a Draft; set spec.state: Active to run it")
    return chosen


def run_spec(sync: ReverseETLSync, objects: Sequence[Resource], request: Request) -> RunSpec:
    """A new run of a sync, resolved.

    Raises:
        InvalidInput: the objects contradict each other, or a reference names an object that is not in the files.
    """
    name = local_run_name(sync.metadata.name, datetime.now(UTC), secrets.token_bytes(2))
    namespace = sync.metadata.namespace
    run = SyncRun(
        api_version=API_VERSION,
        kind="SyncRun",
        metadata=ObjectMeta(name=name, namespace=namespace, uid=local_uid(namespace, f"SyncRun/{name}")),
        spec=SyncRunSpec(
            sync_ref=NameRef(name=sync.metadata.name),
            mode=request.mode,
            full_refresh=request.full_refresh,
            replay=request.replay,
            approval=Approval(plan_hash=request.approve) if request.approve else None,
        ),
    )
    return resolve(sync, run, lookup(objects, namespace))


def check_schedule(sync: ReverseETLSync) -> None:
    """Raise InvalidInput for a schedule that the controller would refuse."""
    if sync.spec.schedule is None:
        return
    try:
        schedule.next_run(sync.spec.schedule, datetime.now(UTC))
    except InvalidInput as error:
        raise InvalidInput(f"ReverseETLSync {sync.metadata.name}: spec.{error}") from None


def _with_uid(resource: R) -> R:
    """The uid follows from namespace and name; a sync's state is kept by its uid alone."""
    meta = resource.metadata
    name = meta.name if isinstance(resource, ReverseETLSync) else f"{resource.kind}/{meta.name}"
    return resource.model_copy(update={"metadata": meta.model_copy(update={"uid": local_uid(meta.namespace, name)})})
