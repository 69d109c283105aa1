"""`retl why`: why a sync runs, waits, or does not run, and what to do about it, with the command to type.

The situation is gathered first; what is concluded from it is concluded by pure functions, here and in `findings`.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

import orjson
import typer

from retl.cli import text as plain_text
from retl.cli.cluster.access import Reach, ask
from retl.cli.cluster.advice import Commands
from retl.cli.cluster.client import Cluster
from retl.cli.cluster.findings import TICKS, Finding, Situation, findings
from retl.cli.cluster.objects import other, runs_of, the_sync
from retl.cli.cluster.status import progress
from retl.cli.cluster.text import now, say, when
from retl.cli.text import indented, plain, table, terminal_width, wrapped
from retl.resources.kinds import DESTINATION, MODEL, SOURCE, SYNC
from retl.resources.reasons import TICK_REASONS
from retl.resources.views import Other, Sync


def explain(reach: Reach, name: str, *, as_json: bool) -> None:
    """Print the answer."""
    situation = ask(reach, lambda cluster: gather(cluster, name))
    commands = Commands(reach, situation.sync.meta.namespace)
    if as_json:
        found = [asdict(finding) for finding in findings(situation, commands)]
        ticks = [tick.model_dump(mode="json", by_alias=True) for tick in situation.sync.status.recent_ticks]
        typer.echo(orjson.dumps({"answer": answer(situation), "findings": found, "recentTicks": ticks}).decode())
    else:
        say(text(situation, commands, terminal_width()))


async def gather(cluster: Cluster, name: str) -> Situation:
    """All that is known of the sync in the cluster."""
    sync = await the_sync(cluster, name)
    runs = await runs_of(cluster, sync)
    ends = [end async for end in _ends(cluster, sync)]
    dependencies: dict[str, Sync | None] = {}
    for each in sync.dependencies:
        found = await cluster.find(SYNC, each)
        dependencies[each] = Sync.read(found) if found else None
    situation = Situation(sync, runs, ends, dependencies, [], now())
    active = situation.active
    if active is None or active.held or not active.status.attempt:
        return situation
    pods = await cluster.list("Pod", labels=f"batch.kubernetes.io/job-name={active.job()}")
    return Situation(sync, runs, ends, dependencies, pods, situation.now)


async def _ends(cluster: Cluster, sync: Sync) -> AsyncIterator[Other]:
    source = _ref(sync.spec.get("query") or {}, "sourceRef")
    if model := _ref(sync.spec, "modelRef"):
        found = await other(cluster, MODEL, model)
        yield found
        source = _ref(found.spec, "sourceRef")
    if source:
        yield await other(cluster, SOURCE, source)
    if destination := _ref(sync.spec, "destinationRef"):
        yield await other(cluster, DESTINATION, destination)


def _ref(spec: Mapping[str, Any], field: str) -> str:
    return str((spec.get(field) or {}).get("name", ""))


def text(situation: Situation, commands: Commands, width: int) -> str:
    """The answer, what was found, and the recent ticks with what their verdicts mean."""
    blocks = [wrapped(answer(situation), width)]
    if found := findings(situation, commands):
        blocks.append("\n".join(_lines(finding, width) for finding in found))
    if ticks := situation.sync.status.recent_ticks[-TICKS:][::-1]:
        rows = [
            [
                plain_text.minute(tick.at),
                tick.verdict,
                tick.reason or "Succeeded",
                tick.message or (TICK_REASONS[tick.reason].means if tick.reason in TICK_REASONS else None),
            ]
            for tick in ticks
        ]
        blocks.append("Recent ticks\n" + indented(table(["tick", "verdict", "reason", "meaning"], rows)))
    return "\n\n".join(blocks)


def _lines(finding: Finding, width: int) -> str:
    lines = [wrapped(plain(finding.says), width, f"{finding.level}: ", "  ")]
    if finding.do:
        lines.append(wrapped(finding.do, width, "  to do: ", "    "))
    if finding.type:
        lines.append(f"  type:  {finding.type}")
    return "\n".join(lines)


def answer(situation: Situation) -> str:
    """Why it runs or not, in one sentence."""
    sync, active, status = situation.sync, situation.active, situation.sync.status
    if stalled := sync.stalled:
        return f"{sync.name} does not run: it is Stalled ({stalled.reason})."
    if sync.state == "Draft":
        return f"{sync.name} does not run: it is a Draft."
    if active and active.held:
        return f"{sync.name} waits for a person: {active.name} is held until its plan is approved."
    if active:
        return f"{sync.name} has a run under way: {active.name}, {progress(active)}."
    if status.active_run:
        return f"{sync.name} is reserved for {status.active_run.name}, which is about to be created."
    if sync.state == "Paused":
        return f"{sync.name} does not run by itself: it is Paused."
    if status.waiting_tick:
        tick = status.waiting_tick
        return f"{sync.name} waits with the tick of {plain_text.minute(tick.at)}: {tick.reason}."
    if status.observed_generation is None:
        return f"{sync.name} does not run: no controller has looked at it yet."
    if not sync.schedule:
        return f"{sync.name} runs only when it is told to: it has no schedule."
    if status.next_run_time is None:
        after = f": it follows {', '.join(sync.dependencies)}" if sync.dependencies else ""
        return f"{sync.name} has no next tick{after}."
    moment = status.next_run_time
    return f"{sync.name} runs next at {plain_text.minute(moment)} ({when(moment, situation.now)})."
