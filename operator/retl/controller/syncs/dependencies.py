"""What a sync in the cache depends on."""

from typing import Any

from retl.controller.kinds import Key
from retl.resources.kinds import SYNC, Manifest


def named(sync: Key, manifest: Manifest | None) -> tuple[Key, ...]:
    """What a sync depends on; of a spec that was written past our schema, what can be made out."""
    names = (_at(entry, "syncRef", "name") for entry in _at(manifest, "spec", "schedule", "dependsOn") or [])
    return tuple(Key(SYNC, sync.namespace, name) for name in dict.fromkeys(names) if isinstance(name, str))


def _at(value: Any, *way: str) -> Any:
    for field in way:
        value = value.get(field) if isinstance(value, dict) else None
    return value
