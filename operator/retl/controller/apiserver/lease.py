"""One controller works, the others stand by with warm caches: who, a Lease says.

A holder renews its record every few seconds. Another takes the Lease over when the record is given up, or has not
changed for its whole duration by the taker's own steady clock; nobody's wall clock is trusted. A holder that cannot
renew stops well before that, and writes nothing once it cannot be sure. Even two controllers at once would start
nothing twice: the Lease spares work, it is not the lock.

The record is the one that client-go's leader election keeps (tools/leaderelection), so that people and tools read it.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from retl.apiserver.endpoints import LEASE
from retl.controller.apiserver.kube import AlreadyExists, Conflict, Kube, KubeError, NotLeading
from retl.controller.kinds import Key
from retl.controller.settings import LeaseSettings
from retl.errors import RetlError
from retl.resources.kinds import Manifest

logger = logging.getLogger(__name__)

_PATIENCE = 4.0
"""Seconds for one renewal, so that one that gets no answer can be followed by another in time."""
_FAREWELL = 1.0


class LeaseLost(RetlError):
    """The Lease could not be renewed in time, or somebody else has it."""

    reason = "LeaseLost"


class Lease:
    """This process's claim to lead."""

    def __init__(self, kube: Kube, settings: LeaseSettings) -> None:
        self._kube = kube
        self._settings = settings
        self._key = Key(LEASE, settings.namespace, settings.name)
        self.held: Manifest | None = None
        """The record as this process wrote it last; None while it does not lead."""
        self._valid_until = 0.0
        self.transitions: int | None = None
        """How often the Lease has changed hands, as it says itself; None before it was read."""

    def fence(self) -> None:
        """Raises NotLeading unless this process can be sure that nobody else leads."""
        if self.held is None or _steady() >= self._valid_until:
            raise NotLeading(f"nothing is written without the lease {self._key}")

    async def acquire(self) -> None:
        """Wait until this process leads."""
        seen, since, trouble = "", _steady(), False
        while self.held is None:
            try:
                found = await self._kube.get(self._key)
                version = found["metadata"]["resourceVersion"] if found else ""
                if found and version != seen:
                    seen, since = version, _steady()
                    self.transitions = _transitions(found)
                if found is None or self._is_free(found, _steady() - since):
                    await self._take(found)
                    break
            except (AlreadyExists, Conflict):
                pass  # somebody was faster
            except KubeError as error:
                if not trouble:
                    logger.warning("cannot ask for the lease, and goes on asking: %s", error)
                trouble = True
            else:
                trouble = False
            await asyncio.sleep(self._settings.look.total_seconds())
        logger.info("leading as %s", self._settings.identity)

    async def keep(self) -> None:
        """Renew until cancelled (raises LeaseLost)."""
        while True:
            await asyncio.sleep(self._settings.renewal.total_seconds())
            try:
                async with asyncio.timeout_at(min(_steady() + _PATIENCE, self._valid_until)):
                    await self._renew()
            except KubeError as error:
                logger.warning("cannot renew the lease: %s", error)
            except TimeoutError:
                logger.warning("cannot renew the lease: no answer from the API server")
            if _steady() >= self._valid_until:
                self.held = None
                raise LeaseLost(
                    f"the lease {self._key} could not be renewed for {self._settings.deadline.total_seconds():.0f} s; "
                    "this process ends, and stands by when it is started again"
                )

    async def release(self) -> None:
        """Give it up, so that another controller need not wait; as far as that is possible."""
        if self.held is None:
            return
        held, self.held = self.held, None
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._write(held, self._record(held, holder=""))
        except (KubeError, TimeoutError) as error:
            logger.warning("cannot give up the lease: %s", error if str(error) else "no answer from the API server")

    def _is_free(self, found: Manifest, unchanged: float) -> bool:
        """Whether it may be taken over.

        Args:
            unchanged: seconds for which its record has been the same.
        """
        spec = found.get("spec") or {}
        respected = spec.get("leaseDurationSeconds") or self._settings.duration.total_seconds()
        return not spec.get("holderIdentity") or unchanged > respected

    async def _renew(self) -> None:
        """Write the record anew (raises LeaseLost if somebody else has it)."""
        try:
            await self._take(self.held)
            return
        except Conflict:
            found = await self._kube.get(self._key)
        if found is None or found["spec"].get("holderIdentity") != self._settings.identity:
            self.held = None
            raise LeaseLost(f"the lease {self._key} has another holder; this process ends and stands by")
        await self._take(found)

    async def _take(self, standing: Manifest | None) -> None:
        """Be the holder, counted from before the request, if the record that stands has not changed since."""
        started, record = _steady(), self._record(standing, self._settings.identity)
        self.held = await self._write(standing, record)
        self._valid_until = started + self._settings.deadline.total_seconds()
        self.transitions = record["leaseTransitions"]

    async def _write(self, standing: Manifest | None, record: dict[str, Any]) -> Manifest:
        metadata = {"namespace": self._key.namespace, "name": self._key.name}
        manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": LEASE, "metadata": metadata, "spec": record}
        if standing is None:
            return await self._kube.create(LEASE, manifest)
        metadata["resourceVersion"] = standing["metadata"]["resourceVersion"]
        return await self._kube.replace(self._key, manifest)

    def _record(self, standing: Manifest | None, holder: str) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before, transitions = (standing or {}).get("spec") or {}, _transitions(standing or {})
        ours = before.get("holderIdentity") == self._settings.identity
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(self._settings.duration.total_seconds()),
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": transitions if ours or standing is None else transitions + 1,
        }


def _transitions(lease: Manifest) -> int:
    return int((lease.get("spec") or {}).get("leaseTransitions") or 0)


def _steady() -> float:
    """Seconds of a clock that nobody sets."""
    return asyncio.get_running_loop().time()
