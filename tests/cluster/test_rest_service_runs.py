"""The service layer of the REST API against a real API server: runs, from the order to the history."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import pytest

from retl.rest.problems import Problem
from retl.rest.service.interface import Workspace
from retl.rest.service.values import (
    LetterFilter,
    LogAsked,
    MappingWish,
    PageAsked,
    RunEvent,
    RunFilter,
    RunOrder,
    RunRecord,
    Write,
)
from tests.cluster.controllers import ControllerProcess, running
from tests.cluster.objects import object_of, run_of
from tests.cluster.processes import Program, free_ports
from tests.cluster.rest_api import Rest
from tests.cluster.rest_people import PLAIN, WISH, People, refused, reject, remember
from tests.rest.process import RETL


async def test_a_run_that_only_the_history_knows_answers_its_request_again(rest: Rest, people: People) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    how = Write(idempotency_key="k")
    run = await operator.start(sync.uid, RunOrder(), how)
    await remember(rest, sync, run)
    rest.namespace.delete("syncrun", run.name)
    again = await operator.start(sync.uid, RunOrder(), how)
    assert (again.uid, again.replayed, again.state, again.counts.created) == (run.uid, True, "Succeeded", 5)
    people.restart()
    viewer = await people.as_("viewer")
    assert await viewer.run(run.uid, sync.uid) == replace(again, replayed=False)
    assert (await refused(operator.cancel(run.uid))).slug == "run-finished"


async def test_runs_of_the_cluster_and_of_the_history_are_one_list(rest: Rest, people: People) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    runs = [await operator.start(sync.uid, RunOrder(), PLAIN) for _ in range(6)]
    for run in runs[:4]:
        await remember(rest, sync, run)
    for run in runs[:2]:
        rest.namespace.delete("syncrun", run.name)
    by_hand = UUID(rest.namespace.get("syncrun", rest.namespace.create(run_of(sync.sync.name)))["metadata"]["uid"])
    everything = {*(run.uid for run in runs), by_hand}
    whole = (await operator.runs(RunFilter(sync=sync.uid), None)).items
    assert {run.uid for run in whole} == everything
    assert len(whole) == len(everything)
    paged: list[RunRecord] = []
    page = await operator.runs(RunFilter(sync=sync.uid), PageAsked(2))
    paged += page.items
    while page.next:
        page = await operator.runs(RunFilter(sync=sync.uid), PageAsked(2, page.next))
        paged += page.items
    assert [run.uid for run in paged] == [run.uid for run in whole]
    assert {run.sync for run in whole} == {sync.uid}
    succeeded = await operator.runs(RunFilter(sync=sync.uid, state="Succeeded"), PageAsked(10))
    assert {run.uid for run in succeeded.items} == {run.uid for run in runs[:2]}
    of_all = await operator.runs(RunFilter(), PageAsked(200))
    assert everything <= {run.uid for run in of_all.items}
    assert (await refused(operator.run(by_hand, uuid4()))).status == 404
    await operator.delete_sync(sync.uid, PLAIN)
    assert (await refused(operator.runs(RunFilter(sync=sync.uid), None))).status == 404
    kept = await operator.runs(RunFilter(sync=sync.uid), PageAsked(10))
    assert {run.uid for run in runs[:4]} <= {run.uid for run in kept.items}


async def test_what_is_older_than_the_workspace_is_of_one_that_had_its_name(rest: Rest, people: People) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    run = await operator.start(sync.uid, RunOrder(), Write(dry_run=True))
    await remember(rest, sync, replace(run, created_at=datetime(2020, 1, 1, tzinfo=UTC)))
    await reject(rest, sync, 1)
    assert (await operator.letters(LetterFilter(sync=sync.uid), PageAsked(1))).items == []
    assert (await operator.letter_statistics(sync.uid, None)).open == 0
    assert run.uid not in {each.uid for each in (await operator.runs(RunFilter(), PageAsked(200))).items}
    assert (await refused(operator.run(run.uid))).status == 404


@pytest.fixture(scope="module")
def warehouse(rest: Rest, account: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A file to read, a CRM to write to, and a controller that runs syncs of the workspace for real."""
    directory = tmp_path_factory.mktemp("warehouse")
    rows = "".join(f"A-{number:04},Company {number},somebody-{number}@example.com\n" for number in range(12))
    (directory / "accounts.csv").write_text("id,name,email\n" + rows)
    [port] = free_ports(1)
    crm = Program("crm", [sys.executable, "-m", "examples.crm", "--port", str(port)], directory / "crm.log")
    http = {
        "url": f"http://127.0.0.1:{port}/api/objects/{{object}}/batch",
        "envelope": "records",
        "results": {"statusField": "status", "successValues": ["created", "updated"]},
    }
    files = {"connector": "duckdb", "config": {"files": {"accounts": str(directory / "accounts.csv")}}}
    rest.namespace.apply(object_of("SyncSource", "warehouse", files) | {"metadata": default_source()})
    rest.namespace.apply(object_of("SyncDestination", "crm", {"connector": "http", "config": http}))
    controller = ControllerProcess(
        directory, account, [rest.namespace.name], command=[str(RETL), "execute"], state_url=rest.internal_url
    )
    crm.start()
    try:
        with running(controller):
            yield
    finally:
        crm.stop()


def default_source() -> dict[str, object]:
    return {"name": "warehouse", "labels": {"reverseetl.io/default-source": "true"}}


async def ended(workspace: Workspace, run: UUID) -> list[RunEvent]:
    """All that is told of a run until it has ended."""
    async with asyncio.timeout(60):
        return [event async for event in workspace.follow(run)]


async def until_held(workspace: Workspace, run: UUID) -> RunRecord:
    async with asyncio.timeout(60), aclosing(cast(AsyncGenerator[RunEvent, None], workspace.follow(run))) as events:
        async for event in events:
            if event.run.state == "AwaitingApproval":
                return event.run
    raise AssertionError(f"run {run} has ended without being held")


HELD = replace(
    WISH,
    name="Held",
    destination="crm",
    object="account",
    mappings=[
        MappingWish("account_id", "id", key=True),
        MappingWish("name", "name"),
        MappingWish("country", "", further={"value": "AT"}),
        MappingWish("employees", "length(name)"),
    ],
    settings={"guards": {"maxCreates": 3}},
)


@pytest.mark.usefixtures("warehouse")
async def test_a_run_that_is_held_goes_on_with_exactly_the_plan_that_was_looked_at(people: People) -> None:
    operator, admin = await people.as_("operator"), await people.as_("admin")
    sync = await operator.create_sync(HELD, PLAIN)
    run = await operator.start(sync.uid, RunOrder(), PLAIN)
    held = await until_held(operator, run.uid)
    plan = json.loads(await operator.plan(run.uid))
    assert (held.rows_written, plan["counts"]["created"], held.reason) == (0, 12, "GuardBreached")
    assert (await refused(operator.approve(run.uid, held.plan_hash))).status == 403
    assert (await refused(admin.approve(run.uid, "another"))).slug == "plan-changed"
    await admin.approve(run.uid, held.plan_hash)
    events = await ended(operator, run.uid)
    assert [event.kind for event in events] == [*["run"] * (len(events) - 1), "end"]
    done = events[-1].run
    assert (done.state, done.rows_written, done.attempt) == ("Succeeded", 12, 2)
    assert done == await operator.run(run.uid, sync.uid)
    assert (await operator.sync(sync.uid)).last_run == run.uid
    log = [line async for line in operator.log(run.uid, LogAsked(attempt=2))]
    tail = [line async for line in operator.log(run.uid, LogAsked(tail=1))]
    assert (tail, all(line.endswith(b"\n") for line in log)) == (log[-1:], True)
    for request in (admin.approve(run.uid, held.plan_hash), operator.cancel(run.uid)):
        assert (await refused(request)).slug == "run-finished"
    assert [event.kind for event in await ended(operator, run.uid)] == ["run", "end"]


@pytest.mark.usefixtures("warehouse")
async def test_a_run_that_is_cancelled_ends_so_and_a_plan_writes_nothing(people: People) -> None:
    operator = await people.as_("operator")
    sync = await operator.create_sync(HELD, PLAIN)
    run = await operator.start(sync.uid, RunOrder(), PLAIN)
    await until_held(operator, run.uid)
    once, twice = await operator.cancel(run.uid), await operator.cancel(run.uid)
    assert once.uid == twice.uid
    assert (await ended(operator, run.uid))[-1].run.state == "Cancelled"
    plan = await operator.start(sync.uid, RunOrder("Plan"), PLAIN)
    done = (await ended(operator, plan.uid))[-1].run
    assert (done.state, done.mode, done.rows_written) == ("Succeeded", "Plan", 0)
    assert json.loads(await operator.plan(plan.uid))["counts"]["created"] == 12
    viewer = await people.as_("viewer")
    assert (await refused(viewer.plan(plan.uid))).status == 403
    with pytest.raises(Problem) as caught:
        await anext(viewer.log(plan.uid, LogAsked()))
    assert caught.value.status == 403


@pytest.mark.usefixtures("warehouse")
async def test_objects_and_fields_are_those_of_the_last_check(rest: Rest, people: People) -> None:
    admin = await people.as_("admin")
    assert [each.name for each in await admin.destinations("http")] == ["crm", "http", "sf-prod"]
    crm = UUID(rest.namespace.get("syncdestination", "crm")["metadata"]["uid"])
    objects = await admin.objects(crm, "", refresh=True)
    by_name = {each.name: each for each in await admin.destinations()}
    assert by_name["crm"].ready is True
    assert await admin.objects("crm", "", refresh=False) == objects
    assert await admin.objects("crm", "no such thing", refresh=False) == []
    assert (await refused(admin.objects(uuid4(), "", refresh=False))).status == 404
    assert [(each.name, each.default) for each in await admin.sources()] == [("warehouse", True)]
    assert [(each.name, each.source) for each in await admin.models()] == [("active-accounts", "warehouse")]


async def test_letters_are_read_counted_and_sent_again(rest: Rest, people: People) -> None:
    operator, viewer = await people.as_("operator"), await people.as_("viewer")
    first, second = [await operator.create_sync(replace(WISH, name=name), PLAIN) for name in ("One", "Two")]
    for sync in (first, second):
        await reject(rest, sync, 3)
    page = await operator.letters(LetterFilter(), PageAsked(4))
    rest_of_page = await operator.letters(LetterFilter(), PageAsked(4, page.next))
    letters = [*page.items, *rest_of_page.items]
    assert (len({letter.uid for letter in letters}), rest_of_page.next) == (6, None)
    assert (await viewer.letter_statistics(None, None)).by_code == {"CONFLICT": 6}
    [mine, theirs] = [[each.uid for each in letters if each.sync == sync.uid] for sync in (first, second)]
    problem = await refused(operator.resolve([mine[0], uuid4()], "skipped", replay=False, how=PLAIN))
    assert (problem.status, [error.location[-1] for error in problem.errors]) == (422, [1])
    await operator.resolve(mine[:1], "skipped", replay=False, how=PLAIN)
    [closed] = (await operator.letters(LetterFilter(sync=first.uid, resolved=True), PageAsked(10))).items
    assert (closed.uid, closed.resolution) == (mine[0], "skipped")
    how = Write(idempotency_key="again")
    resolved = await operator.resolve([*mine, *theirs[:1]], "fixed_upstream", replay=True, how=how)
    entries = {run.sync: run.manifest["spec"]["replay"]["entries"] for run in resolved.runs if run.manifest}
    assert entries == {first.uid: sorted(map(str, mine[1:])), second.uid: [str(theirs[0])]}
    again = await operator.resolve([*mine, *theirs[:1]], "fixed_upstream", replay=True, how=how)
    assert {run.uid for run in again.runs} == {run.uid for run in resolved.runs}
    assert (await operator.resolve(mine[:1], "skipped", replay=True, how=PLAIN)).runs == []
    await operator.delete_sync(second.uid, PLAIN)
    assert (await refused(operator.resolve(theirs, "x", replay=True, how=PLAIN))).status == 409
    assert (await operator.resolve(theirs, "x", replay=False, how=PLAIN)).ids == theirs
    assert (await viewer.letter_statistics(second.uid, None)).resolved == 3
