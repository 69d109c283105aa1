"""One controller works, the others stand by with warm caches: who, a Lease says.

A holder renews its record every few seconds. Another takes the Lease over when the record is given up, or has not
changed for its whole duration by the taker's own steady clock; nobody's wall clock is trusted. A holder that cannot
renew stops well before that. Even two controllers at once would start nothing twice: the Lease spares work, it is not
the lock.
"""

import asyncio
import logging
from datetime import UTC, datetime

from retl.controller.kinds import LEASE, Key, Manifest
from retl.controller.kube import AlreadyExists, Conflict, Kube, KubeError
from retl.controller.settings import LeaseSettings
from retl.errors import RetlError

logger = logging.getLogger(__name__)


class LeaseLost(RetlError):
    """The Lease could not be renewed in time, or somebody else has it."""

    reason = "LeaseLost"


class Lease:
    """This process's claim to lead."""

    def __init__(self, kube: Kube, settings: LeaseSettings) -> None:
        self._kube = kube
        self._settings = settings
        self._key = Key(LEASE, settings.namespace, settings.name)
        self._held: Manifest | None = None

    async def acquire(self) -> None:
        """Wait until this process leads."""
        seen, since = "", _steady()
        while self._held is None:
            try:
                found = await self._kube.get(self._key)
                version = found["metadata"]["resourceVersion"] if found else ""
                if version != seen:
                    seen, since = version, _steady()
                abandoned = _steady() - since > self._settings.duration.total_seconds()
                if found is None or abandoned or not found["spec"].get("holderIdentity"):
                    self._held = await self._take(found)
                    break
            except (AlreadyExists, Conflict):
                pass  # somebody was faster
            except KubeError as error:
                logger.warning("cannot ask for the lease: %s", error)
            await asyncio.sleep(self._settings.renewal.total_seconds())
        logger.info("leading as %s", self._settings.identity)

    async def keep(self) -> None:
        """Renew until cancelled (raises LeaseLost)."""
        renewed = _steady()
        while True:
            await asyncio.sleep(self._settings.renewal.total_seconds())
            try:
                self._held = await self._renewed()
                renewed = _steady()
            except KubeError as error:
                logger.warning("cannot renew the lease: %s", error)
            if _steady() - renewed > self._settings.deadline.total_seconds():
                self._held = None
                raise LeaseLost(f"the lease {self._key} could not be renewed in time")

    async def release(self) -> None:
        """Give it up, so that another controller need not wait; as far as that is possible."""
        if self._held is None:
            return
        try:
            await self._take(self._held, holder="")
        except KubeError as error:
            logger.warning("cannot give up the lease: %s", error)
        self._held = None

    async def _renewed(self) -> Manifest:
        """The record, written anew (raises LeaseLost if somebody else has it)."""
        try:
            return await self._take(self._held)
        except Conflict:
            found = await self._kube.get(self._key)
        if found is None or found["spec"].get("holderIdentity") != self._settings.identity:
            self._held = None
            raise LeaseLost(f"the lease {self._key} has another holder")
        return await self._take(found)

    async def _take(self, standing: Manifest | None, holder: str | None = None) -> Manifest:
        """Write the record over the one that stands, if that has not changed since."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata = {"namespace": self._key.namespace, "name": self._key.name}
        spec = {
            "holderIdentity": self._settings.identity if holder is None else holder,
            "leaseDurationSeconds": int(self._settings.duration.total_seconds()),
            "renewTime": now,
        }
        manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        if standing is None:
            return await self._kube.create(LEASE, manifest)
        metadata["resourceVersion"] = standing["metadata"]["resourceVersion"]
        return await self._kube.replace(self._key, manifest)


def _steady() -> float:
    """Seconds of a clock that nobody sets."""
    return asyncio.get_running_loop().time()
