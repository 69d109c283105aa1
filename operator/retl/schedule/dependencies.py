"""Who waits for whom: an index over syncs, so that no change makes anyone look through them all. Pure."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

_SHOWN = 10

K = TypeVar("K", bound=Hashable)


def in_a_circle(names: Sequence[str]) -> str:
    """What to tell people of a circle, given from a sync back to itself."""
    shown = [*names[:_SHOWN], "…", names[-1]] if len(names) > _SHOWN else names
    return (
        f"spec.schedule.dependsOn: syncs wait for each other in a circle: {' → '.join(shown)}; "
        "take one of them out of another's dependsOn"
    )


class Dependencies(Generic[K]):
    """The syncs that each sync's schedule names, in both directions."""

    def __init__(self) -> None:
        self._of: dict[K, tuple[K, ...]] = {}
        self._on: dict[K, dict[K, None]] = defaultdict(dict)
        self._clean: set[K] = set()
        """Syncs from which no circle can be reached, as far as asked since the last change."""

    def note(self, sync: K, named: tuple[K, ...]) -> None:
        """Take note of what a sync depends on; nothing, if it is gone."""
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

    def dependents(self, sync: K) -> Iterable[K]:
        """The syncs that depend on one."""
        return tuple(self._on.get(sync, ()))

    def circle(self, sync: K) -> tuple[K, ...]:
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
