"""One kind in one place, kept in the cache: LIST once, then WATCH from where the list ended, for as long as we live.

Nothing that the API server says or fails to say ends it. A watch that breaks is begun anew where it stood; one that is
too old (410), or that the server refuses again and again, gives way to a LIST, which also finds what was deleted in the
gap. A watch that says nothing, not even a bookmark, is taken for dead. `age` says since when nothing was heard: the
watchdog reads it.
"""

import asyncio
import logging
import random
from contextlib import aclosing
from datetime import timedelta
from http import HTTPStatus

from retl.apiserver.endpoints import JOB, POD
from retl.apiserver.refusals import refusal_of
from retl.controller.apiserver.kube import Kube, KubeError
from retl.controller.cache import Cache
from retl.controller.kinds import Key
from retl.resources.kinds import RUN, SYNC, Manifest
from retl.resources.marks import OURS

logger = logging.getLogger(__name__)

FOLLOWED = (SYNC, RUN, JOB, POD)
"""Kinds that change often or of which there are many; kopf looks after the others."""
SELECTORS = {JOB: OURS, POD: OURS}
"""Only the controller's own Jobs and pods are looked at; the API server leaves out all others."""
SILENCE = timedelta(seconds=90)
"""A live watch says something at least every minute."""

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 20.0
_REFUSALS = 3
"""After so many in a row that the API server answered, the fault may be the version that is asked for."""


async def fill(cache: Cache, kube: Kube, kind: str, namespace: str | None) -> str:
    """Make the cache agree with the API server by a LIST; the version of that list.

    What the cache has and the list has not is dropped, and those whom that concerns are told.
    """
    listed: list[Key] = []
    version = ""
    async for page, listed_at in kube.list(kind, namespace, SELECTORS.get(kind, "")):
        version = listed_at
        for manifest in page:
            listed.append(Key.of(kind, manifest))
            cache.put(kind, manifest)
    cache.retain(kind, namespace, listed, version)
    return version


class Informer:
    """Keeps one kind, in one namespace or in all (None), in the cache."""

    def __init__(self, cache: Cache, kube: Kube, kind: str, namespace: str | None, chance: random.Random) -> None:
        self.kind = kind
        self.namespace = namespace
        self._cache = cache
        self._kube = kube
        self._chance = chance
        self._version = ""
        self._failures = 0
        self._heard = asyncio.get_running_loop().time()

    def age(self) -> float:
        """Seconds since the API server said anything about this kind: an event, a bookmark or a list."""
        return asyncio.get_running_loop().time() - self._heard

    async def fill(self) -> None:
        """LIST (raises KubeError); the watch goes on from there."""
        self._version = await fill(self._cache, self._kube, self.kind, self.namespace)
        self._hear()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                if not self._version:
                    await self.fill()
                if await self._follow():
                    continue
                logger.info("%s: the watch ended and had told nothing", self)
            except TimeoutError:
                logger.warning("%s: nothing was heard for %.0f s; watching anew", self, SILENCE.total_seconds())
            except KubeError as error:
                self._doubt(error)
            self._failures += 1
            await asyncio.sleep(self._pause())

    async def _follow(self) -> bool:
        """One watch to its end; whether it told anything (raises TimeoutError when it falls silent)."""
        told = False
        events = self._kube.watch(self.kind, self.namespace, SELECTORS.get(self.kind, ""), self._version)
        async with aclosing(events):
            while True:
                async with asyncio.timeout(SILENCE.total_seconds()):
                    event = await anext(events, None)
                if event is None:
                    return told
                self._take(event["type"], event["object"])
                told = True

    def _take(self, type: str, manifest: Manifest) -> None:
        if type == "ERROR":
            raise refusal_of("the watch ended", int(manifest.get("code") or 0), manifest)
        if type == "DELETED":
            self._cache.remove(self.kind, manifest)
        elif type != "BOOKMARK":
            self._cache.put(self.kind, manifest)
        self._version = manifest["metadata"]["resourceVersion"]
        self._failures = 0
        self._hear()

    def _doubt(self, error: KubeError) -> None:
        """Whether to begin again with a LIST."""
        refused = error.status != 0 and self._failures % _REFUSALS == _REFUSALS - 1
        if error.status == HTTPStatus.GONE or refused:
            self._version = ""
        level = logging.INFO if error.status == HTTPStatus.GONE else logging.WARNING
        logger.log(level, "%s: %s; %s", self, error, "watching anew" if self._version else "listing anew")

    def _pause(self) -> float:
        """Seconds to rest: longer each time, and never the same for all who lost the API server together."""
        pause: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures - 1, 16))
        return pause * self._chance.uniform(0.5, 1.5)

    def _hear(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    def __str__(self) -> str:
        return f"{self.kind} of {self.namespace or 'all namespaces'}"
