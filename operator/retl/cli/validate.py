"""`retl validate`: what can be known to be wrong before a run; with --check, also what the two ends know of it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import typer

from retl.cli import local
from retl.cli.text import plain
from retl.destinations.registry import DESTINATIONS
from retl.errors import InvalidInput
from retl.resources import Resource, ReverseETLSync, SyncDestination, SyncModel, SyncRun, SyncSource
from retl.resources.sync import Mapping
from retl.runspec import contradictions
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import Registry
from retl.runspec.pod import EXIT_FAILED, EXIT_INVALID, EXIT_SUCCEEDED
from retl.runspec.resolve import Lookup
from retl.runspec.spec import RunSpec
from retl.schedule.dependencies import Dependencies, in_a_circle
from retl.sources.registry import SOURCES


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with one object; nothing, if `problems` is empty. Warnings may be meant so."""

    resource: Resource
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def report(files: Sequence[Path], *, check: bool, secrets_dir: Path, as_json: bool) -> int:
    """Print each object with `ok` or what is wrong with it; the exit code.

    Args:
        check: also log in at both ends of each sync that is right so far.
    Raises:
        InvalidInput: a file cannot be read as manifests; one line a problem.
    """
    objects = local.read(files)
    if not objects:
        raise InvalidInput("no objects of reverseetl.io in these files")
    verdicts = [judge(each, objects) for each in objects]
    code = EXIT_INVALID if any(verdict.problems for verdict in verdicts) else EXIT_SUCCEEDED
    if check:
        verdicts = asyncio.run(_with_ends(verdicts, objects, secrets_dir))
    bad = any(verdict.problems for verdict in verdicts)
    if as_json:
        typer.echo(orjson.dumps({"ok": not bad, "objects": [_object(verdict) for verdict in verdicts]}).decode())
    else:
        for verdict in verdicts:
            typer.echo(_lines(verdict))
    return EXIT_FAILED if bad and code == EXIT_SUCCEEDED else code


def judge(resource: Resource, objects: Sequence[Resource]) -> Verdict:
    """Check one object together with those that it refers to."""
    find = local.lookup(objects, resource.metadata.namespace)
    return Verdict(resource, tuple(_problems(resource, objects, find)), tuple(_unchecked(resource)))


async def _with_ends(verdicts: Sequence[Verdict], objects: Sequence[Resource], secrets_dir: Path) -> list[Verdict]:
    """The verdicts, with what the two ends of each sync say, unless something else is wrong with it already."""
    from retl.cli import reach

    found = []
    for verdict in verdicts:
        if isinstance(verdict.resource, ReverseETLSync) and not verdict.problems:
            spec = local.run_spec(verdict.resource, objects, local.Request("Plan"))
            ends = await reach.look(spec, secrets_dir)
            verdict = replace(verdict, problems=ends.problems, warnings=ends.warnings)
        found.append(verdict)
    return found


def _problems(resource: Resource, objects: Sequence[Resource], find: Lookup) -> Iterator[str]:
    if isinstance(resource, SyncSource):
        yield from _connector(SOURCES, resource)
    elif isinstance(resource, SyncDestination):
        yield from _connector(DESTINATIONS, resource)
    elif isinstance(resource, SyncModel):
        yield from _missing(find, SyncSource, resource.spec.source_ref.name, "spec.sourceRef.name")
    elif isinstance(resource, SyncRun):
        yield from _missing(find, ReverseETLSync, resource.spec.sync_ref.name, "spec.syncRef.name")
    elif isinstance(resource, ReverseETLSync):
        yield from _sync(resource, objects)


def _connector(registry: Registry, resource: SyncSource | SyncDestination) -> Iterator[str]:
    spec = resource.spec
    try:
        registry.check(spec.connector, spec.config)
        if spec.credentials is None:
            registry.login(spec.connector, None, {})
    except InvalidInput as error:
        yield f"spec.{error}"


def _missing(find: Lookup, kind: type[Resource], name: str, field: str) -> Iterator[str]:
    if find(kind, name) is None:
        yield f"{field}: there is no {kind.__name__} {name!r} in these files"


def _sync(sync: ReverseETLSync, objects: Sequence[Resource]) -> Iterator[str]:
    own = f"{sync.kind} {sync.metadata.name}: "
    try:
        spec = local.run_spec(sync, objects, local.Request("Plan"))
    except InvalidInput as error:
        yield str(error).removeprefix(own)
    else:
        yield from (f"spec.{problem}" for problem in _contradictions(spec))
    try:
        local.check_schedule(sync)
    except InvalidInput as error:
        yield str(error).removeprefix(own)
    yield from _circle(sync, objects)


def _circle(sync: ReverseETLSync, objects: Sequence[Resource]) -> Iterator[str]:
    """The circle of syncs of these files that wait for each other, if this one is in it."""
    if sync.spec.schedule is None or not sync.spec.schedule.depends_on:
        return
    index = Dependencies[str]()
    for each in objects:
        if (
            isinstance(each, ReverseETLSync)
            and each.spec.schedule
            and each.metadata.namespace == sync.metadata.namespace
        ):
            index.note(each.metadata.name, tuple(other.sync_ref.name for other in each.spec.schedule.depends_on))
    if circle := index.circle(sync.metadata.name):
        yield in_a_circle(circle)


def _contradictions(spec: RunSpec) -> list[str]:
    """What the sync and its destination, configured as it is, do not agree on."""
    name = spec.destination.connector
    try:
        config = DESTINATIONS.check(name, spec.destination.config)
    except InvalidInput:
        return []  # said of the destination
    capabilities = DESTINATIONS.info(name).capabilities
    if capabilities is None:
        return []
    problems = _engine() if any(_for_the_engine(spec.mappings)) else None
    return (problems or contradictions.problems)(spec, capabilities(config))


def _for_the_engine(mappings: Sequence[Mapping]) -> Iterator[str]:
    """Fields that it takes the engine to judge."""
    for i, mapping in enumerate(mappings):
        if mapping.expression is not None:
            yield f"spec.mappings[{i}].expression"
        elif mapping.cast and mapping.value is not None:
            yield f"spec.mappings[{i}].value"


def _engine() -> Callable[[RunSpec, Capabilities], list[str]] | None:
    """What finds contradictions with the engine's help; None in an installation that runs no syncs."""
    try:
        from retl.engine.contradictions import problems
    except ModuleNotFoundError:
        return None
    return problems


def _unchecked(resource: Resource) -> Iterator[str]:
    """What an installation without the engine cannot judge."""
    fields = list(_for_the_engine(resource.spec.mappings)) if isinstance(resource, ReverseETLSync) else []
    if fields and _engine() is None:
        for field in fields:
            yield f"{field}: not checked without the engine; install reverse-etl-operator[runner]"


def _lines(verdict: Verdict) -> str:
    title = f"{verdict.resource.kind} {_name(verdict.resource)}"
    lines = [f"  {plain(problem)}" for problem in verdict.problems]
    lines += [f"  warning: {plain(warning)}" for warning in verdict.warnings]
    return "\n".join([f"{title}: ok" if not verdict.problems else f"{title}:", *lines])


def _object(verdict: Verdict) -> dict[str, object]:
    meta = verdict.resource.metadata
    return {
        "kind": verdict.resource.kind,
        "namespace": meta.namespace,
        "name": _name(verdict.resource),
        "ok": not verdict.problems,
        "problems": verdict.problems,
        "warnings": verdict.warnings,
    }


def _name(resource: Resource) -> str:
    return resource.metadata.name or f"{resource.metadata.generate_name}*"
