"""What every gather needs: the cache, the API server, and what is known of Secrets."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from retl.controller.apiserver.kube import Kube
from retl.controller.cache import Cache
from retl.controller.clock import Clock
from retl.controller.kinds import Key
from retl.controller.progress import Progress
from retl.controller.readings import Readings
from retl.controller.runs.questions import Questions
from retl.controller.state_reads import StateReads
from retl.controller.wanted import WantedOf
from retl.resources.kinds import Manifest
from retl.runspec.catalog import Catalog

_TRUSTED = timedelta(seconds=60)
_RECHECKED = timedelta(seconds=5)
_SKEW = timedelta(seconds=30)


class Secrets:
    """Whether Secrets exist; an answer is trusted for a short while, so that a tick costs no request each."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock
        self._asked: dict[tuple[str, str], tuple[bool, datetime]] = {}
        self._asking: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def missing(self, namespace: str, names: list[str]) -> list[str]:
        """Those of the names that are no Secret in the namespace."""
        return [name for name in names if not await self._exists(namespace, name)]

    async def _exists(self, namespace: str, name: str) -> bool:
        async with self._asking[namespace, name]:  # a thousand syncs that want to know at once ask once
            now = self._clock.now()
            there, asked = self._asked.get((namespace, name), (False, datetime.min.replace(tzinfo=now.tzinfo)))
            if asked <= now < asked + (_TRUSTED if there else _RECHECKED):
                return there
            there = await self._kube.secret_exists(namespace, name)
            self._asked[namespace, name] = there, now
            return there


@dataclass(frozen=True, slots=True)
class World:
    """Where facts come from.

    Attributes:
        questions: why Jobs do not start.
        state: the state service; None when there is no token to ask it with.
        wanted: what checks of each connection are to look at.
        progress: how far runs are, as far as the state service was asked.
        readings: what specs meant when they were read last.
    """

    cache: Cache
    kube: Kube
    secrets: Secrets
    questions: Questions
    state: StateReads | None = None
    wanted: WantedOf = field(default_factory=WantedOf)
    progress: Progress = field(default_factory=Progress)
    readings: Readings = field(default_factory=Readings)

    def skewed(self) -> bool:
        """Whether our clock is too far from the API server's for any tick to be believed."""
        skew = self.kube.skew()
        return skew is not None and abs(skew) > _SKEW

    async def catalog(self, connection: Key) -> Catalog | None:
        """What the last check of a connection found; None where that is not known."""
        manifest = self.cache.get(connection)
        if manifest is None or self.state is None:
            return None
        digest = (manifest["status"].get("lastCheck") or {}).get("catalog", "")
        return await self.state.catalog(connection.namespace, manifest["metadata"]["uid"], digest)

    async def fresh(self, key: Key) -> Manifest | None:
        """The object as it is at this moment, past the cache; the cache learns of it."""
        known = self.cache.get(key)
        manifest = await self.kube.get(key)
        if manifest is not None:
            self.cache.put(key.kind, manifest)
        elif known is not None and self.cache.get(key) is known:  # else it was made while the answer was on its way
            self.cache.remove(key.kind, known)
        return self.cache.get(key)
