"""What is remembered of a spec is what would be said of it now."""

from typing import Any

from retl.controller.cache import Cache
from retl.controller.decision import Problem
from retl.controller.readings import Readings
from retl.resources import ReverseETLSync
from retl.resources.kinds import DESTINATION, SOURCE, SYNC
from retl.runspec import RunSpec
from tests.cluster.objects import crm, sync, warehouse


class World:
    """A cache of one namespace, and what is said of its one sync."""

    def __init__(self) -> None:
        self.cache = Cache(lambda *_: None)
        self.readings = Readings()
        self._version = 0

    def put(self, kind: str, manifest: dict[str, Any], generation: int = 1, **status: Any) -> dict[str, Any]:
        self._version += 1
        name = manifest["metadata"]["name"]
        metadata = {"name": name, "namespace": "shop", "uid": f"{kind}-{name}", "generation": generation}
        given = manifest | {"metadata": metadata | {"resourceVersion": str(self._version)}, "status": status}
        self.cache.put(kind, given)
        return given

    def judge(self, manifest: dict[str, Any]) -> RunSpec | Problem:
        read = self.readings.read(ReverseETLSync, manifest)
        assert isinstance(read, ReverseETLSync)
        return self.readings.sync_problem(read, self.readings.lookup(self.cache, "shop"))


def test_a_sync_is_judged_again_when_what_it_names_comes_changes_or_goes() -> None:
    world = World()
    accounts = world.put(SYNC, sync("accounts"))
    world.put(SOURCE, warehouse())
    missing = world.judge(accounts)
    assert isinstance(missing, Problem)
    assert missing.reason == "DestinationNotFound"
    world.put(DESTINATION, crm(config={"address": "nowhere"}))
    assert isinstance(world.judge(accounts), Problem)
    world.put(DESTINATION, crm(connector="x" * 300), generation=2)
    invalid = world.judge(accounts)
    assert isinstance(invalid, Problem)
    world.put(DESTINATION, crm(), generation=3)
    assert isinstance(world.judge(accounts), RunSpec)
    gone = world.cache.get(next(iter(world.cache.keys(DESTINATION))))
    assert gone is not None
    world.cache.remove(DESTINATION, gone)
    assert isinstance(world.judge(accounts), Problem)


def test_a_status_changes_nothing_and_a_new_spec_does() -> None:
    world = World()
    for kind, manifest in ((SOURCE, warehouse()), (DESTINATION, crm())):
        world.put(kind, manifest)
    first = world.judge(world.put(SYNC, sync("accounts")))
    world.put(DESTINATION, crm(), lastCheck={"catalog": "abc"})
    assert world.judge(world.put(SYNC, sync("accounts"), nextRunTime="2026-01-01T00:00:00Z")) is first
    changed = world.judge(world.put(SYNC, sync("accounts", "another"), generation=2))
    assert isinstance(changed, RunSpec)
    assert changed.object == "another"
