"""Who depends on whom: an index over the syncs in the cache, so that no change makes anyone look through them all."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from retl.controller.kinds import SYNC, Key, Manifest

_SHOWN = 10


def in_a_circle(names: Sequence[str]) -> str:
    """What to tell people of a circle, given from a sync back to itself."""
    shown = [*names[:_SHOWN], "…", names[-1]] if len(names) > _SHOWN else names
    return (
        f"spec.schedule.dependsOn: syncs wait for each other in a circle: {' → '.join(shown)}; "
        "take one of them out of another's dependsOn"
    )


class Dependencies:
    """The syncs that each sync's schedule names, in both directions."""

    def __init__(self) -> None:
        self._of: dict[Key, tuple[Key, ...]] = {}
        self._on: dict[Key, dict[Key, None]] = defaultdict(dict)
        self._clean: set[Key] = set()
        """Syncs from which no circle can be reached, as far as asked since the last change."""

    def note(self, sync: Key, manifest: Manifest | None) -> None:
        """Take note of what a sync depends on (None: it is gone)."""
        named = _named(sync, manifest)
        before = self._of.get(sync, ())
        if named == before:
            return
        self._clean.clear()
        for other in before:
            self._on[other].pop(sync, None)
            if not self._on[other]:
                del self._on[other]
        for other in named:
            self._on[other][sync] = None
        self._of[sync] = named
        if not named:
            del self._of[sync]

    def dependents(self, sync: Key) -> Iterable[Key]:
        """The syncs that depend on one."""
        return tuple(self._on.get(sync, ()))

    def circle(self, sync: Key) -> tuple[Key, ...]:
        """A way from a sync along what it depends on back to itself, both ends included; empty if there is none.

        What is known to lead to no circle is not walked again until a dependency changes: asking for every sync of a
        long chain costs no more than walking the chain once.
        """
        if sync in self._clean:
            return ()
        way, branches = {sync: None}, [iter(self._of.get(sync, ()))]
        seen, tangled = {sync}, False
        while branches:
            following = next(branches[-1], None)
            if following is None:
                branches.pop()
                way.popitem()
            elif following == sync:
                return (*way, sync)
            elif following in way:
                tangled = True  # a circle of others
            elif following not in seen and following not in self._clean:
                seen.add(following)
                way[following] = None
                branches.append(iter(self._of.get(following, ())))
        if not tangled:
            self._clean |= seen
        return ()


def _named(sync: Key, manifest: Manifest | None) -> tuple[Key, ...]:
    """What a sync depends on; of a spec that was written past our schema, what can be made out."""
    names = (_at(entry, "syncRef", "name") for entry in _at(manifest, "spec", "schedule", "dependsOn") or [])
    return tuple(Key(SYNC, sync.namespace, name) for name in dict.fromkeys(names) if isinstance(name, str))


def _at(value: Any, *way: str) -> Any:
    for field in way:
        value = value.get(field) if isinstance(value, dict) else None
    return value
