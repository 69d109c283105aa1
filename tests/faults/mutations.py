"""Known bugs, put back at run time into the real code: the simulation must notice each of them. README.md tells how."""

import sys
from asyncio import get_running_loop
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any
from unittest.mock import patch

from retl.controller import act as acts
from retl.controller.apiserver.kube import Kube
from retl.controller.kinds import Key
from retl.resources.kinds import Manifest
from retl.resources.names import tick_run_name

Mutation = Callable[[ExitStack], None]


@contextmanager
def broken(name: str) -> Iterator[None]:
    """The code with one known bug."""
    with ExitStack() as stack:
        MUTATIONS[name](stack)
        yield


def _no_reservation(stack: ExitStack) -> None:
    """Act first, and write down afterwards what was done."""

    async def act_first(world: Any, key: Key, observed: Manifest, decision: Any, written: Callable[[], None]) -> bool:
        news = [await acts._carry_out(world, action) for action in decision.actions]
        if published := await acts._publish(world, key, observed, decision.status):
            written()
        return published or any(news)

    _everywhere(stack, "act", acts.act, act_first)


def _name_without_tick(stack: ExitStack) -> None:
    """Name the run of a tick after the second in which it is made."""

    def name_of_now(sync: str, _: datetime) -> str:
        return f"{sync}-{int(get_running_loop().time())}"

    _everywhere(stack, "tick_run_name", tick_run_name, name_of_now)


def _stale_forbid(stack: ExitStack) -> None:
    """Write what was decided from the cache over whatever stands there meanwhile."""
    put_status = Kube.put_status

    async def overwrite(self: Kube, key: Key, observed: Manifest, status: Manifest) -> Manifest:
        metadata = {**observed["metadata"], "resourceVersion": None}
        return await put_status(self, key, {**observed, "metadata": metadata}, status)

    stack.enter_context(patch.object(Kube, "put_status", overwrite))


def _everywhere(stack: ExitStack, name: str, original: object, other: object) -> None:
    """Replace a function in every module of the controller that has imported it."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith("retl.controller") and getattr(module, name, None) is original:
            stack.enter_context(patch.object(module, name, other))


MUTATIONS: dict[str, Mutation] = {
    "no-reservation": _no_reservation,
    "name-without-tick": _name_without_tick,
    "stale-forbid": _stale_forbid,
}
