"""The service layer of the REST API against a real API server: syncs as it makes, changes and refuses them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

from retl.rest.problems import Problem
from retl.rest.service.values import (
    UNSET,
    LetterFilter,
    PageAsked,
    RunFilter,
    RunOrder,
    ScheduleWish,
    SyncFilter,
    SyncRecord,
    Write,
)
from tests.cluster.objects import Namespace, object_of
from tests.cluster.rest_api import Rest, bind, connections
from tests.cluster.rest_people import NOTHING, PLAIN, WISH, People, opened, operator_id, refused


async def test_a_new_sync_is_the_manifest_that_a_person_would_write(rest: Rest, people: People) -> None:
    operator = await people.as_("operator")
    made = await operator.create_sync(replace(WISH, schedule=ScheduleWish("15 */4 * * *")), PLAIN)
    spec = rest.namespace.get("ReverseETLSync", made.sync.name)["spec"]
    wanted = {
        "displayName": "Accounts to Salesforce",
        "modelRef": {"name": "active-accounts"},
        "destinationRef": {"name": "sf-prod"},
        "object": "Account",
        "mappings": [
            {"destination": "External_Id__c", "source": "id", "key": True},
            {"destination": "Name", "expression": "upper(name)"},
        ],
    }
    assert {name: spec[name] for name in wanted} == wanted
    assert spec["schedule"]["cron"] == "15 */4 * * *"
    assert made.sync.name == "accounts-to-salesforce"
    assert (made.query, list(made.primary_key)) == ("model:active-accounts", ["id"])
    assert made.model is not None
    assert made.destination is not None
    assert (made.model.name, made.destination.name) == ("active-accounts", "sf-prod")
    assert made.created_by == operator_id(rest)
    people.restart()
    viewer = await people.as_("viewer")
    seen = await viewer.sync(made.uid)
    assert seen == replace(made, sync=seen.sync)
    [listed] = [each for each in (await viewer.syncs(SyncFilter(), None)).items if each.uid == made.uid]
    assert listed == replace(seen, query="", sync=listed.sync)


async def test_a_query_of_its_own_reads_the_default_source(rest: Rest, people: People) -> None:
    operator = await people.as_("operator")
    made = await operator.create_sync(replace(WISH, query="SELECT id, name FROM accounts"), PLAIN)
    spec = made.sync.spec
    assert (spec["query"]["sourceRef"], spec["primaryKey"]) == ({"name": "warehouse"}, ["id"])
    assert (await operator.sync(made.uid)).query == "SELECT id, name FROM accounts"
    back = await operator.change_sync(made.uid, replace(NOTHING, query="ref('active-accounts')"), PLAIN)
    assert ("query" in back.sync.spec, back.sync.spec["modelRef"]) == (False, {"name": "active-accounts"})
    rest.namespace.apply(object_of("SyncSource", "second", {"connector": "duckdb", "config": {}}))
    labels = "reverseetl.io/default-source"
    rest.cluster.kubectl("label", "syncsource", "warehouse", "-n", rest.namespace.name, f"{labels}-")
    try:
        problem = await refused(operator.create_sync(replace(WISH, query="SELECT 1 AS id"), PLAIN))
        assert (problem.status, problem.slug) == (422, "no-default-source")
        assert "second, warehouse" in problem.detail
    finally:
        rest.cluster.kubectl("label", "syncsource", "warehouse", "-n", rest.namespace.name, f"{labels}=true")
        rest.namespace.delete("syncsource", "second")


async def test_what_a_wish_names_and_is_not_there_is_told_by_its_place(people: People) -> None:
    operator = await people.as_("operator")
    model, destination = ("spec", "modelRef", "name"), ("spec", "destinationRef", "name")
    for wish, places in (
        (replace(WISH, query="model:nothing"), [model]),
        (replace(WISH, query="model:../../../secrets"), [model]),
        (replace(WISH, query=UNSET, model=uuid4()), [model]),
        (replace(WISH, query="DROP TABLE accounts"), [("spec", "query", "sql")]),
        (replace(WISH, destination="nowhere"), [destination]),
        (replace(WISH, query="model:nothing", destination=uuid4()), [model, destination]),
        (replace(WISH, schedule=ScheduleWish("often")), [("spec", "schedule", "cron")]),
    ):
        problem = await refused(operator.create_sync(wish, PLAIN))
        assert (problem.status, [error.location for error in problem.errors]) == (422, places)
    assert (await refused(operator.sync(uuid4()))).status == 404


async def test_two_changes_at_the_same_time_both_take_effect(people: People) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    wishes = [
        replace(NOTHING, description="what it is for"),
        replace(NOTHING, object="Lead"),
        replace(NOTHING, schedule=ScheduleWish("0 * * * *")),
        replace(NOTHING, state="Paused"),
    ]
    await asyncio.gather(*(operator.change_sync(sync.uid, wish, PLAIN) for wish in wishes))
    spec = (await operator.sync(sync.uid)).sync.spec
    assert (spec["description"], spec["object"], spec["state"]) == ("what it is for", "Lead", "Paused")
    assert spec["schedule"]["cron"] == "0 * * * *"


async def test_of_many_changes_of_one_field_at_the_same_time_each_takes_effect_and_the_last_stays(
    people: People,
) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    wishes = [replace(NOTHING, description=f"number {number}") for number in range(12)]
    changed = await asyncio.gather(*(operator.change_sync(sync.uid, wish, PLAIN) for wish in wishes))
    [last] = [each for each in changed if each.version == (await operator.sync(sync.uid)).version]
    assert len({each.version for each in changed}) == len(wishes)
    assert last.sync.spec["description"] == (await operator.sync(sync.uid)).sync.spec["description"]


async def test_a_change_of_a_version_that_is_no_more_is_refused(people: People) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    how = Write(if_match=frozenset({"1", sync.version}))
    both = await asyncio.gather(
        *(operator.change_sync(sync.uid, replace(NOTHING, object=name), how) for name in ("Lead", "Contact")),
        return_exceptions=True,
    )
    [lost] = [each for each in both if isinstance(each, Problem)]
    [won] = [each for each in both if isinstance(each, SyncRecord)]
    assert (lost.status, lost.slug) == (412, "precondition-failed")
    assert (await refused(operator.delete_sync(sync.uid, how))).status == 412
    same = await operator.change_sync(sync.uid, replace(NOTHING, object=won.sync.spec["object"]), PLAIN)
    assert same.version == won.version
    await operator.delete_sync(sync.uid, Write(if_match=frozenset({won.version})))
    assert (await refused(operator.sync(sync.uid))).status == 404


async def test_a_dry_run_leaves_nothing(rest: Rest, people: People) -> None:
    operator = await people.as_("operator")
    dry = Write(dry_run=True)
    before = rest.namespace.list("ReverseETLSync")
    would_be = await operator.create_sync(replace(WISH, name="Never"), dry)
    assert (would_be.sync.name, rest.namespace.list("ReverseETLSync")) == ("never", before)
    sync = await operator.create_sync(WISH, PLAIN)
    changed = await operator.change_sync(sync.uid, replace(NOTHING, object="Lead"), dry)
    assert (changed.sync.spec["object"], (await operator.sync(sync.uid)).sync.spec["object"]) == ("Lead", "Account")
    run = await operator.start(sync.uid, RunOrder(), dry)
    assert (await refused(operator.run(run.uid))).status == 404
    await operator.delete_sync(sync.uid, dry)
    assert (await operator.sync(sync.uid)).uid == sync.uid


async def test_the_same_key_makes_one_thing_over_two_pods_and_a_restart(rest: Rest, pod: Path) -> None:
    how = Write(idempotency_key="nightly", digest="a" * 64)
    async with opened(rest, pod) as one, opened(rest, pod) as other:
        pods = [await people.as_("operator") for people in (one, other)]
        made = await asyncio.gather(*(each.create_sync(replace(WISH, name="Once"), how) for each in pods))
        assert (made[0].uid, {each.replayed for each in made}) == (made[1].uid, {True, False})
        sync = made[0].uid
        runs = await asyncio.gather(*(each.start(sync, RunOrder(), how) for each in pods))
        assert (runs[0].uid, {each.replayed for each in runs}) == (runs[1].uid, {True, False})
        plan = await pods[0].start(sync, RunOrder("Plan"), how)
        assert plan.uid != runs[0].uid
        one.restart()
        again = await one.as_("operator")
        changed = await again.change_sync(sync, replace(NOTHING, name="Renamed"), PLAIN)
        replayed = await again.create_sync(replace(WISH, name="Once"), how)
        assert (replayed.uid, replayed.replayed) == (sync, True)
        assert replayed.sync.spec["displayName"] == changed.sync.spec["displayName"]
        another = replace(how, digest="b" * 64)
        for request in (
            again.create_sync(replace(WISH, name="Other"), another),
            again.start(sync, RunOrder(), another),
        ):
            problem = await refused(request)
            assert (problem.status, problem.slug) == (422, "idempotency-key-reused")


async def test_what_git_keeps_is_changed_there_and_still_runs(rest: Rest, people: People, tmp_path: Path) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    tracked = f"growth:reverseetl.io/ReverseETLSync:{rest.namespace.name}/{sync.sync.name}"
    rest.cluster.kubectl(
        *("annotate", "retl", sync.sync.name, "-n", rest.namespace.name, f"argocd.argoproj.io/tracking-id={tracked}")
    )
    wish = replace(NOTHING, enabled=False, schedule=ScheduleWish("0 * * * *"))
    problem = await refused(operator.change_sync(sync.uid, wish, PLAIN))
    assert (problem.status, problem.slug) == (409, "managed-by-gitops")
    assert problem.further["managed_by"] == {"tool": "Argo CD", "application": "growth"}
    assert (await refused(operator.change_sync(sync.uid, wish, Write(dry_run=True)))).slug == "managed-by-gitops"
    assert (await refused(operator.delete_sync(sync.uid, PLAIN))).slug == "managed-by-gitops"
    same = await operator.change_sync(sync.uid, replace(NOTHING, enabled=True), PLAIN)
    assert (await operator.start(sync.uid, RunOrder(), PLAIN)).sync == same.uid
    file = tmp_path / "patch.yaml"
    file.write_text(problem.further["patch"])
    rest.cluster.kubectl(
        *("patch", "retl", sync.sync.name, "-n", rest.namespace.name, "--type=merge", "--patch-file", str(file))
    )
    spec = (await operator.sync(sync.uid)).sync.spec
    assert (spec["state"], spec["schedule"]["cron"]) == ("Paused", "0 * * * *")


async def test_made_anew_under_the_same_name_it_is_another_sync(rest: Rest, people: People) -> None:
    operator = await people.as_("operator")
    wish = replace(WISH, name="Phoenix")
    first = await operator.create_sync(wish, PLAIN)
    run = await operator.start(first.uid, RunOrder(), PLAIN)
    await operator.delete_sync(first.uid, PLAIN)
    second = await operator.create_sync(wish, PLAIN)
    assert (second.sync.name, second.uid != first.uid) == ("phoenix", True)
    for request in (
        operator.sync(first.uid),
        operator.change_sync(first.uid, replace(NOTHING, object="Lead"), PLAIN),
        operator.start(first.uid, RunOrder(), PLAIN),
        operator.delete_sync(first.uid, PLAIN),
        operator.run(run.uid, second.uid),
    ):
        assert (await refused(request)).status == 404
    third = await operator.create_sync(wish, PLAIN)
    assert third.sync.name.startswith("phoenix-")
    assert (await operator.create_sync(wish, PLAIN)).uid not in (second.uid, third.uid)


async def test_nothing_is_made_in_a_workspace_that_is_going_away(rest: Rest, people: People) -> None:
    name = f"{rest.namespace.name}-ending"
    kubectl = rest.cluster.kubectl
    kubectl("create", "namespace", name)
    bind(rest.cluster, name, "operator", f"{rest.namespace.name}:retl-operator")
    ending = Namespace(rest.cluster, name)
    ending.apply(*connections())
    operator = await people.as_("operator", name)
    sync = await operator.create_sync(WISH, PLAIN)
    _hold(ending, ["example.com/stays"])
    kubectl("delete", "namespace", name, "--wait=false")
    try:
        ending.until("retl", sync.sync.name, lambda found: "deletionTimestamp" in found["metadata"])
        problem = await refused(operator.create_sync(replace(WISH, name="Late"), PLAIN))
        assert (problem.status, problem.slug) == (409, "namespace-terminating")
        assert (await operator.sync(sync.uid)).uid == sync.uid
        for request in (
            operator.start(sync.uid, RunOrder(), PLAIN),
            operator.change_sync(sync.uid, replace(NOTHING, object="Lead"), PLAIN),
            operator.delete_sync(sync.uid, PLAIN),
        ):
            assert (await refused(request)).slug == "being-deleted"
    finally:
        _hold(ending, None)


def _hold(namespace: Namespace, finalizers: list[str] | None) -> None:
    """Keep what the namespace holds from being deleted, or let it go; its rights go last."""
    for kind in ("retl", "syncmodel", "syncdestination", "rolebinding"):
        for found in namespace.list(kind):
            namespace.patch(kind, found["metadata"]["name"], {"metadata": {"finalizers": finalizers}})


async def test_who_may_not_is_told_so_and_nothing_more(people: People) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    viewer = await people.as_("viewer")
    for request in (
        viewer.create_sync(WISH, PLAIN),
        viewer.change_sync(sync.uid, replace(NOTHING, object="Lead"), PLAIN),
        viewer.delete_sync(sync.uid, PLAIN),
        viewer.start(sync.uid, RunOrder(), PLAIN),
        viewer.letters(LetterFilter(), PageAsked(10)),
        viewer.resolve([], "skipped", replay=False, how=PLAIN),
        operator.objects("sf-prod", "", refresh=True),
        operator.approve(uuid4(), "x"),
    ):
        problem = await refused(request)
        assert (problem.status, problem.slug) == (403, "forbidden")
        assert "in workspace rest-" in problem.detail
    for role in ("nobody", "other"):
        stranger = await people.as_(role)
        for asked in (stranger.syncs(SyncFilter(), None), stranger.sync(sync.uid), stranger.runs(RunFilter(), None)):
            problem = await refused(asked)
            assert (problem.status, "rest-" in problem.detail) == (403, False)


async def test_pages_of_syncs_hold_all_of_them_once(rest: Rest, people: People) -> None:
    operator = await people.as_("operator")
    for number in range(3):
        await operator.create_sync(replace(WISH, name=f"Paged {number}", destination="http", enabled=False), PLAIN)
    which = SyncFilter(destination="http", enabled=False)
    page = await operator.syncs(which, PageAsked(2))
    names = [each.sync.name for each in page.items]
    assert page.next is not None
    last = await operator.syncs(which, PageAsked(2, page.next))
    assert [*names, *(each.sync.name for each in last.items)] == ["paged-0", "paged-1", "paged-2"]
    assert last.next is None
    assert (await operator.syncs(SyncFilter(destination="nowhere"), PageAsked(2))).items == []
    http = UUID(rest.namespace.get("syncdestination", "http")["metadata"]["uid"])
    enabled = await operator.syncs(SyncFilter(destination=http, enabled=True), None)
    assert enabled.items == []
