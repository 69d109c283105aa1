"""kopf as the shell of the process (signals, login) and as the source of events of connections and models.

What it sees goes into the cache, and nothing else happens there.

Only `on.event` is used. kopf's other handlers write annotations and finalizers into people's objects, one write an
object at first sight, and cost quadratic time at the start; this one writes nothing.
"""

from collections.abc import Callable
from typing import Any

import kopf
from kubernetes.aio.client import Configuration

from retl.apiserver.endpoints import ENDPOINTS
from retl.controller.apiserver.access import for_kopf
from retl.controller.cache import Cache
from retl.controller.settings import FIELD_MANAGER, ControllerSettings
from retl.resources.kinds import DESTINATION, MODEL, SOURCE

WATCHED_BY_KOPF = (SOURCE, MODEL, DESTINATION)
"""Few, and rarely changed; those that matter by the second have informers of our own."""


async def watch(cache: Cache, configuration: Configuration, settings: ControllerSettings) -> None:
    """Keep the cache up to date until the process is told to end (SIGTERM, SIGINT)."""
    registry = kopf.OperatorRegistry()
    _register(registry, cache, configuration)
    everywhere = not settings.namespaces
    await kopf.operator(
        registry=registry,
        settings=_kopf_settings(settings),
        clusterwide=everywhere,
        namespaces=[] if everywhere else list(settings.namespaces),
    )


def _register(registry: kopf.OperatorRegistry, cache: Cache, configuration: Configuration) -> None:
    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return for_kopf(configuration)

    for kind in WATCHED_BY_KOPF:
        endpoint = ENDPOINTS[kind]
        kopf.on.event(endpoint.group, endpoint.version, endpoint.plural, registry=registry, id=kind.lower())(
            _into(cache, kind)
        )


def _into(cache: Cache, kind: str) -> Callable[..., Any]:
    async def observe(event: dict[str, Any], **_: Any) -> None:
        if event["type"] == "DELETED":
            cache.remove(kind, event["object"])
        else:
            cache.put(kind, event["object"])

    return observe


def _kopf_settings(settings: ControllerSettings) -> kopf.OperatorSettings:
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True  # else it wants to list all CRDs and namespaces
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.networking.request_timeout = settings.request_timeout.total_seconds()
    chosen.watching.chunk_size = 500
    # Workers of objects at rest linger; the default of 5 s keeps one task for each object through the first wave.
    chosen.queueing.idle_timeout = 0.5
    chosen.process.ultimate_exiting_timeout = 30
    chosen.persistence.finalizer = f"{FIELD_MANAGER}.invalid/never-set"
    return chosen
