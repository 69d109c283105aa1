"""Specs as they were read and judged last: what has not changed since is not read and judged again.

In the life of one run its sync is looked at half a dozen times, and thousands of syncs name the same few connections.
A generation has one spec, so that what a spec means is remembered by uid and generation, for as many objects as are
likely to be busy at once.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar, cast

from retl.controller.cache import Cache
from retl.controller.checks import read, sync_problem
from retl.controller.decision import Problem
from retl.controller.kinds import Key
from retl.errors import InvalidInput
from retl.resources import Resource, ReverseETLSync
from retl.resources.kinds import Manifest
from retl.runspec import RunSpec
from retl.runspec.resolve import Lookup

KEPT = 2_000

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was said of a sync, and the objects that it was said of."""

    sync: ReverseETLSync
    named: tuple[tuple[type[Resource], str, Resource | None], ...]
    outcome: RunSpec | Problem


class Readings:
    """What is remembered."""

    def __init__(self) -> None:
        self._read: OrderedDict[str, tuple[int, Resource | Problem]] = OrderedDict()
        self._judged: OrderedDict[str, _Judged] = OrderedDict()

    def read(self, model: type[R], manifest: Manifest) -> R | Problem:
        """An object without its status, or why our model refuses it. Labels and annotations may be of before."""
        uid, generation = manifest["metadata"]["uid"], manifest["metadata"]["generation"]
        known, found = self._read.get(uid, (None, None))
        if found is None or known != generation:
            found = read(model, {**manifest, "status": {}})
            self._read[uid] = generation, found
        _keep(self._read, uid)
        return cast("R | Problem", found)

    def lookup(self, cache: Cache, namespace: str) -> Lookup:
        """Finds what a sync of that namespace names (raises InvalidInput for one that is invalid)."""

        def find(model: type[Resource], name: str) -> Resource | None:
            manifest = cache.get(Key(model.__name__, namespace, name))
            if manifest is None:
                return None
            found = self.read(model, manifest)
            if isinstance(found, Problem):
                raise InvalidInput(f"{model.__name__} {name}: {found.message}")
            return found

        return find

    def sync_problem(self, sync: ReverseETLSync, lookup: Lookup) -> RunSpec | Problem:
        """What keeps a sync from running, as `checks.sync_problem` says it."""
        uid = sync.metadata.uid
        known = self._judged.get(uid)
        if known and known.sync is sync and _still(known, lookup):
            _keep(self._judged, uid)
            return known.outcome
        named: list[tuple[type[Resource], str, Resource | None]] = []
        invalid: list[str] = []

        def noted(model: type[Resource], name: str) -> Resource | None:
            try:
                found = lookup(model, name)
            except InvalidInput:
                invalid.append(name)
                raise
            named.append((model, name, found))
            return found

        outcome = sync_problem(sync, noted)
        if not invalid:
            self._judged[uid] = _Judged(sync, tuple(named), outcome)
            _keep(self._judged, uid)
        return outcome


def _still(known: _Judged, lookup: Lookup) -> bool:
    """Whether everything that the judgement is about is what it was."""
    try:
        return all(lookup(model, name) is found for model, name, found in known.named)
    except InvalidInput:
        return False


def _keep(kept: OrderedDict[str, _Judged] | OrderedDict[str, tuple[int, Resource | Problem]], uid: str) -> None:
    kept.move_to_end(uid)
    if len(kept) > KEPT:
        kept.popitem(last=False)
