"""The index of who depends on whom."""

import time

import pytest

from retl.controller.cache import Cache
from retl.controller.kinds import Key
from retl.controller.routing import concerned
from retl.controller.syncs.dependencies import named
from retl.resources.kinds import SYNC, Manifest
from retl.schedule.dependencies import Dependencies
from tests.unit.controller.views import sync_manifest


def key(name: str) -> Key:
    return Key(SYNC, "growth", name)


def sync(*others: str) -> Manifest:
    return {"spec": {"schedule": {"cron": "@daily", "dependsOn": [{"syncRef": {"name": name}} for name in others]}}}


def note(index: Dependencies[Key], sync: str, manifest: Manifest | None) -> None:
    index.note(key(sync), named(key(sync), manifest))


def index(**syncs: str) -> Dependencies[Key]:
    """Syncs by name, each with those it depends on as one letter each."""
    found = Dependencies[Key]()
    for name, others in syncs.items():
        note(found, name, sync(*others))
    return found


@pytest.mark.parametrize(
    ("syncs", "of", "circle"),
    [
        ({"a": "a"}, "a", "aa"),
        ({"a": "b", "b": "a"}, "a", "aba"),
        ({"a": "b", "b": "a"}, "b", "bab"),
        ({"a": "bc", "b": "", "c": "d", "d": "ba"}, "c", "cdac"),
        ({"a": "b", "b": "cd", "c": "d", "d": ""}, "a", ""),
        ({"a": "b", "b": "c", "c": "b"}, "a", ""),  # it leads to a circle, and is not in it
        ({"a": "b", "b": "c", "c": "b"}, "c", "cbc"),
        ({"a": "z"}, "a", ""),
        ({}, "a", ""),
    ],
)
def test_a_circle_is_found_from_each_of_its_members_and_from_nobody_else(
    syncs: dict[str, str], of: str, circle: str
) -> None:
    found = index(**syncs)
    for name in syncs:
        found.circle(key(name))  # what was asked before changes no answer
    assert "".join(other.name for other in found.circle(key(of))) == circle


def test_a_circle_is_gone_when_one_of_its_members_lets_go() -> None:
    found = index(a="b", b="c", c="a")
    note(found, "c", sync())
    assert [found.circle(key(name)) for name in "abc"] == [(), (), ()]
    note(found, "c", sync("a"))
    assert found.circle(key("b")) == (key("b"), key("c"), key("a"), key("b"))


def test_the_dependents_of_a_sync_follow_what_is_noted() -> None:
    found = index(a="c", b="cd")
    assert (found.dependents(key("c")), found.dependents(key("d"))) == ((key("a"), key("b")), (key("b"),))
    note(found, "b", sync("d"))
    note(found, "a", None)
    assert (found.dependents(key("c")), found.dependents(key("d"))) == ((), (key("b"),))
    assert found.dependents(Key(SYNC, "elsewhere", "d")) == ()


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {"schedule": None},
        {"schedule": {"dependsOn": "x"}},
        {"schedule": {"dependsOn": [1, {"syncRef": {"name": 2}}]}},
    ],
)
def test_a_spec_past_our_schema_names_nobody(spec: object) -> None:
    found = Dependencies[Key]()
    note(found, "a", {"spec": spec})
    assert found.circle(key("a")) == ()


def test_asking_every_sync_of_a_long_chain_costs_one_walk() -> None:
    found = Dependencies[Key]()
    for number in range(10_000):
        note(found, f"s{number}", sync(f"s{number + 1}"))
    started = time.process_time()
    assert not any(found.circle(key(f"s{number}")) for number in range(10_000))
    assert time.process_time() - started < 1


def test_a_change_of_a_sync_wakes_those_that_depend_on_it() -> None:
    woken: list[str] = []
    cache = Cache(lambda *change: woken.extend(other.name for other in concerned(cache, *change)))

    def put(name: str, version: int, *others: str, **status: object) -> set[str]:
        schedule = {"cron": "@daily", "dependsOn": [{"syncRef": {"name": other}} for other in others]}
        manifest = sync_manifest(schedule=schedule) | {"status": status}
        manifest["metadata"] |= {"name": name, "uid": name, "resourceVersion": str(version)}
        woken.clear()
        cache.put(SYNC, manifest)
        return {other for other in woken if other not in ("crm", "warehouse")}

    put("second", 1, "first")
    put("third", 2, "second")
    assert put("first", 3) == {"first", "second"}
    assert put("first", 4, lastSuccessTime="2026-05-04T12:00:00Z") == {"first", "second"}
    assert put("third", 5) == {"third"}
    assert put("second", 6) == {"second"}
    assert put("first", 7) == {"first"}
