"""`retl dlq` on a cluster: its dead letters as a queue, and the run that sends some of them again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from retl.cli.cluster import state
from retl.cli.cluster.access import Reach, connected
from retl.cli.cluster.advice import Commands
from retl.cli.cluster.runs import start
from retl.cli.cluster.state import StatePlace
from retl.cli.cluster.text import Form
from retl.cli.cluster.waiting import Watching
from retl.cli.dead_letters import Choice
from retl.state.store import DeadLetter, StateReader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClusterQueue:
    """Those of a namespace of a cluster."""

    reach: Reach
    place: StatePlace

    def ask(self, question: Callable[[StateReader, str], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with connected(self.reach) as cluster, state.reader(cluster, self.place) as reader:
                return await question(reader, cluster.namespace)

        return asyncio.run(asked())

    def command(self, verb: str, *words: str, sync: str | None = None) -> str:
        name = [sync] if sync and verb == "dlq list" else ["--sync", sync] if sync else ["--cluster"]
        return Commands(self.reach, "").retl(verb, *name, *words, *self.place.words())

    def replay(self, letter: DeadLetter, files: Sequence[Path]) -> str:
        return Commands(self.reach, "").retl("dlq replay", letter.sync, letter.id)


def replay(reach: Reach, sync: str, choice: Choice, watching: Watching, form: Form) -> int:
    """Create the run that sends the chosen entries of a sync again; the exit code.

    Raises:
        InvalidInput: the choice contradicts itself, or there is no such sync.
    """
    chosen = choice.replay().model_dump(mode="json", by_alias=True)
    return start(reach, sync, {"mode": "Replay", "replay": chosen}, watching, form)
