"""A process of its own for the tests that need two, or one that dies.

Usage: child.py claim URL RUN       open and claim when told; prints the outcome
       child.py die-at URL STEP     one commit, then a second one that is killed at that step; with RETL_SNAPSHOT_URL
                                    set, all parts get an object there
"""

import asyncio
import importlib
import os
import signal
import sys

from retl.errors import Busy
from retl.resources.run import RunCounts
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state import parts
from retl.state.blobs import from_environment
from retl.state.sql import SqlStateStore
from retl.state.store import ClaimRequest, Commit, NewDeadLetter


def _request(run: str) -> ClaimRequest:
    return ClaimRequest(
        run=RunIdentity(name=run, uid=f"uid-of-{run}"),
        sync=SyncIdentity(namespace="growth", name="contacts", uid="uid-of-contacts"),
        baseline="hubspot/contacts/email",
        owner="pod-1",
    )


async def claim(url: str, run: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    store = await SqlStateStore.open(url)
    try:
        print(type(await store.claim(_request(run))).__name__)
    except Busy:
        print("Busy")
    await store.close()


async def die_at(url: str, step: str) -> None:
    parts.INLINE_BYTES = 0
    store = await SqlStateStore.open(url, blobs=from_environment())
    held = await store.claim(_request("run-1"))
    await store.commit(held, Commit(1, RunCounts(), b"1" * 16, b"r" * 16))
    module_name, _, name = step.partition(":")
    module = importlib.import_module(module_name)
    original = getattr(module, name)

    def then_die(*args: object) -> None:
        original(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, then_die)
    refused = NewDeadLetter(b"d" * 16, b"r" * 16, "CONFLICT", "refused", {})
    await store.commit(held, Commit(2, RunCounts(), b"2" * 16, b"r" * 16, [refused]))


if __name__ == "__main__":
    asyncio.run({"claim": claim, "die-at": die_at}[sys.argv[1]](*sys.argv[2:]))
