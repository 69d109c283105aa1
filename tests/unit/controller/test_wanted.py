"""What checks are to look at, and who is looked at again for what they found."""

from typing import Any

import pytest

from retl.apiserver.endpoints import JOB, POD
from retl.controller import wanted
from retl.controller.cache import Cache
from retl.controller.kinds import Key
from retl.controller.routing import concerned
from retl.controller.wanted import REMEMBERED, WantedOf
from retl.resources.kinds import DESTINATION, MODEL, SOURCE, SYNC, Manifest
from retl.resources.marks import CHECK_LABEL
from tests.unit.controller.views import API, NOON, connection_manifest, sync_manifest

CRM, WAREHOUSE = Key(DESTINATION, "growth", "crm"), Key(SOURCE, "growth", "warehouse")


@pytest.fixture
def cache() -> Cache:
    return Cache(lambda key, before, now: None)


def named(manifest: Manifest, name: str, version: int = 10) -> Manifest:
    changes = {"name": name, "uid": f"{name}-uid", "resourceVersion": str(version)}
    return manifest | {"metadata": manifest["metadata"] | changes}


def model(name: str, **spec: Any) -> Manifest:
    manifest = {"apiVersion": API, "kind": MODEL, "status": {}, "metadata": {"namespace": "growth", "generation": 1}}
    return named(manifest | {"spec": {"sourceRef": {"name": "warehouse"}} | spec}, name)


def test_a_source_is_asked_for_its_models_and_inline_queries_in_a_stable_order(cache: Cache) -> None:
    cache.put(SYNC, named(sync_manifest(), "b"))
    cache.put(SYNC, named(sync_manifest(query={"sourceRef": {"name": "other"}, "sql": "SELECT 2"}), "c"))
    cache.put(MODEL, model("plans", table="plans"))
    cache.put(MODEL, model("accounts", sql="SELECT 1"))
    cache.put(MODEL, model("broken", sql="SELECT 1", table="plans"))
    found = WantedOf().get(cache, WAREHOUSE, NOON)
    assert [each.object_name for each in found.row_sets] == [
        "SyncModel/accounts",
        "SyncModel/plans",
        "ReverseETLSync/b",
    ]
    assert (found.objects, found.left_out) == ((), 0)


def test_a_destination_is_asked_for_each_object_once(cache: Cache) -> None:
    cache.put(SYNC, named(sync_manifest(mode="insert"), "b"))
    cache.put(SYNC, named(sync_manifest(mode="update"), "a"))
    cache.put(SYNC, named(sync_manifest(object="Lead"), "c"))
    found = WantedOf().get(cache, CRM, NOON)
    assert [(each.name, each.mode) for each in found.objects] == [("Account", "update"), ("Lead", "upsert")]
    assert found.row_sets == ()


def test_what_is_wanted_is_remembered_for_a_few_seconds(cache: Cache) -> None:
    remembered = WantedOf()
    before = remembered.get(cache, CRM, NOON)
    cache.put(SYNC, sync_manifest())
    assert remembered.get(cache, CRM, NOON + REMEMBERED / 2) is before
    after = remembered.get(cache, CRM, NOON + REMEMBERED)
    assert after.digest != before.digest
    assert remembered.get(cache, CRM, NOON).at == NOON  # a clock that was set back does not keep it for ever


def test_what_does_not_fit_into_an_annotation_is_left_out_and_counted(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wanted, "MAX_BYTES", 100)
    for name in ("a", "b", "c"):
        cache.put(SYNC, named(sync_manifest(object=f"object-of-{name}"), name))
    found = WantedOf().get(cache, CRM, NOON)
    assert [each.name for each in found.objects] == ["object-of-a", "object-of-b"]
    assert found.left_out == 1


def test_a_connection_is_looked_at_for_its_checks_job_and_pods(cache: Cache) -> None:
    cache.put(DESTINATION, connection_manifest(DESTINATION, "crm"))
    labels = {CHECK_LABEL: "crm-uid"}
    metadata = {"name": "check-crm", "namespace": "growth", "uid": "job", "resourceVersion": "1", "labels": labels}
    for kind in (JOB, POD):
        child = {"metadata": metadata, "status": {}}
        assert list(concerned(cache, Key(kind, "growth", "check-crm"), None, child)) == [CRM]
        cache.put(kind, child)
        assert [each["metadata"]["name"] for each in cache.children(kind, "growth", "crm-uid")] == ["check-crm"]


def test_of_the_pods_of_checks_that_are_gone_the_newest_is_remembered(cache: Cache) -> None:
    for number in range(3):
        metadata = {"name": f"pod-{number}", "namespace": "growth", "uid": f"{number}", "resourceVersion": "1"}
        cache.remove(POD, {"metadata": metadata | {"labels": {CHECK_LABEL: "crm-uid"}}, "status": {}})
    assert [each["metadata"]["name"] for each in cache.children(POD, "growth", "crm-uid")] == ["pod-2"]


def test_a_sync_that_names_another_object_has_its_connections_looked_at(cache: Cache) -> None:
    sync = Key(SYNC, "growth", "accounts")
    before, after = sync_manifest(), sync_manifest(destinationRef={"name": "other"})
    assert {WAREHOUSE, CRM, Key(DESTINATION, "growth", "other")} <= set(concerned(cache, sync, before, after))
    of_status = before | {"status": {"nextRunTime": "2026-05-04T13:00:00Z"}}
    assert CRM not in set(concerned(cache, sync, before, of_status))


def test_syncs_are_looked_at_when_a_check_found_something_else(cache: Cache) -> None:
    cache.put(SYNC, sync_manifest())
    before = connection_manifest(DESTINATION, "crm")
    found = before | {"status": {"lastCheck": {"catalog": "new"}}}
    same = before | {"status": {"lastCheck": {"catalog": "new", "number": 2}}}
    sync = Key(SYNC, "growth", "accounts")
    assert sync in set(concerned(cache, CRM, before, found))
    assert sync not in set(concerned(cache, CRM, found, same))
