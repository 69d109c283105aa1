"""The life of a connection's checks: when one is due, what its end says of the connection, and what people are told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from retl.apiserver.endpoints import JOB
from retl.controller.check_job import check_job
from retl.controller.connections.checking import (
    FIRST_PAUSE,
    GIVEN_UP,
    LONGEST_PAUSE,
    MENDING,
    SETTLING,
    Asked,
    CheckView,
    checked,
)
from retl.controller.decision import Create, Decision, Delete, Problem
from retl.controller.facts import JobFacts, PodFacts
from retl.controller.settings import RunnerSettings
from retl.resources.conditions import Condition, with_condition
from retl.resources.marks import CHECK_LABEL
from retl.resources.meta import ObjectMeta
from retl.resources.names import check_job_name
from retl.resources.source import ActiveCheck, ConnectionStatus, LastCheck
from retl.runspec.check import CheckResult, CheckSpec
from retl.runspec.spec import Connection
from tests.unit.controller.views import NOON

UID = "0f0f0f0f-aaaa-bbbb-cccc-000000000001"
RUNNER = RunnerSettings(image="runner", state_url="http://state")
META = ObjectMeta(name="crm", namespace="growth", uid=UID, generation=3)
SPEC = CheckSpec(
    kind="SyncDestination",
    namespace="growth",
    number=1,
    connection=Connection(name="crm", uid=UID, connector="postgres", secret="crm-login"),
)
ASKED = Asked(3, "", "abcdef01")
VIEW = CheckView(SPEC, ASKED, interval=timedelta(hours=6))
FIRST = ActiveCheck(job_name=check_job_name("crm", UID, 1), number=1, asked=str(ASKED), since=NOON)
LAST = LastCheck(number=4, asked=str(ASKED), succeeded=True, finished_at=NOON, server="PostgreSQL 18.1", catalog="old")
REFUSED = LAST.model_copy(update={"succeeded": False, "reason": "DestinationAuth", "message": "password"})
DOWN = REFUSED.model_copy(update={"reason": "DestinationUnavailable", "retriable": True})
SECOND = timedelta(seconds=1)


def decide(view: CheckView, status: ConnectionStatus, after: timedelta = timedelta(), **more: Any) -> Decision:
    return checked(view, META, status, more.get("problem"), NOON + after, RUNNER)


def status_of(decision: Decision) -> ConnectionStatus:
    assert isinstance(decision.status, ConnectionStatus)
    return decision.status


def said(conditions: Sequence[Condition]) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in conditions}


def job(**facts: Any) -> JobFacts:
    return JobFacts(**({"name": FIRST.job_name, "uid": "job", "owner_uid": UID} | facts))


def ended(result: CheckResult | None, **facts: Any) -> CheckView:
    """The active check's Job has ended, with these last words."""
    words = result.model_dump_json(by_alias=True) if result else ""
    pod = PodFacts("pod", FIRST.job_name, NOON, exit_code=0, last_words=words, ended_at=NOON + SECOND)
    return replace(VIEW, job=job(succeeded=True, ended_at=NOON + SECOND, **facts), pods=(pod,))


FOUND = CheckResult(
    succeeded=True, server="PostgreSQL 18.1", connector_version="0.1.0", objects=2, fields=9, catalog="new"
)


def test_a_new_connection_is_checked_at_once_under_a_name_that_is_written_down_first() -> None:
    decision = decide(VIEW, ConnectionStatus())
    status = status_of(decision)
    assert status.active_check == FIRST
    [create] = decision.actions
    assert isinstance(create, Create)
    assert create.manifest == check_job(META, SPEC, RUNNER)
    assert create.manifest["metadata"]["labels"][CHECK_LABEL] == UID
    assert said(status.conditions) == {"Ready": ("Unknown", "Checking"), "Reconciling": ("True", "Checking")}
    assert decision.wake == NOON + GIVEN_UP


def test_a_job_that_a_crash_kept_from_being_made_is_made_by_the_next_decision() -> None:
    begun = ConnectionStatus(active_check=FIRST)
    assert [type(action) for action in decide(VIEW, begun).actions] == [Create]
    assert decide(replace(VIEW, job=job()), begun).actions == ()


def test_the_job_has_a_name_that_fits_whatever_the_connection_is_called() -> None:
    for name in ("a" * 253, "a" * 39 + "." + "b" * 10):
        made = check_job_name(name, UID, 9_999_999)
        assert len(made) <= 63
        assert ".-" not in made


def test_numbers_begin_again_before_they_are_too_long_for_a_name() -> None:
    edited = LAST.model_copy(update={"number": 9_999_999, "asked": "of long ago"})
    begun = status_of(decide(VIEW, ConnectionStatus(last_check=edited))).active_check
    assert begun is not None
    assert begun.number == 1


def test_what_a_check_found_is_recorded_and_makes_the_connection_ready() -> None:
    decision = decide(ended(FOUND), ConnectionStatus(active_check=FIRST), 2 * SECOND)
    status = status_of(decision)
    assert status.active_check is None
    last = status.last_check
    assert last is not None
    assert (last.number, last.succeeded, last.catalog, last.objects, last.fields) == (1, True, "new", 2, 9)
    assert said(status.conditions) == {"Ready": ("True", "Checked")}
    assert [(event.type, event.reason) for event in decision.events] == [("Normal", "CheckSucceeded")]
    assert decision.wake is not None
    assert timedelta(hours=5) < decision.wake - NOON <= timedelta(hours=6, seconds=1)


@pytest.mark.parametrize(
    ("result", "conditions"),
    [
        (
            CheckResult(succeeded=False, reason="DestinationAuth", message="password"),
            {"Ready": ("False", "DestinationAuth"), "Stalled": ("True", "DestinationAuth")},
        ),
        (
            CheckResult(succeeded=False, reason="DestinationUnavailable", message="down", retriable=True),
            {"Ready": ("False", "DestinationUnavailable"), "Reconciling": ("True", "Retrying")},
        ),
        (None, {"Ready": ("False", "RunnerFailed"), "Reconciling": ("True", "Retrying")}),
    ],
)
def test_a_check_that_failed_says_so_and_is_stalled_only_where_a_person_must_act(
    result: CheckResult | None, conditions: dict[str, tuple[str, str]]
) -> None:
    decision = decide(ended(result), ConnectionStatus(active_check=FIRST, last_check=LAST), 2 * SECOND)
    status = status_of(decision)
    assert said(status.conditions) == conditions
    assert status.last_check is not None
    assert status.last_check.catalog == "old"  # what an earlier check found still stands
    assert [(event.type, event.reason) for event in decision.events] == [("Warning", "CheckFailed")]


def test_the_same_failure_again_is_no_news() -> None:
    view = ended(CheckResult(succeeded=False, reason="DestinationUnavailable", message="password", retriable=True))
    assert decide(view, ConnectionStatus(active_check=FIRST, last_check=DOWN), 2 * SECOND).events == ()


def test_a_catalog_that_changed_is_a_condition_and_an_event_until_a_check_finds_it_unchanged() -> None:
    changed = FOUND.model_copy(update={"changes": "accounts.plan is gone"})
    decision = decide(ended(changed), ConnectionStatus(active_check=FIRST, last_check=LAST), 2 * SECOND)
    status = status_of(decision)
    drift = next(c for c in status.conditions if c.type == "CatalogChanged")
    assert (drift.status, drift.message) == ("True", "accounts.plan is gone")
    assert [(event.reason, event.note) for event in decision.events] == [("CatalogChanged", "accounts.plan is gone")]
    again = decide(ended(FOUND), status.model_copy(update={"active_check": FIRST}), 9 * SECOND)
    assert said(status_of(again).conditions)["CatalogChanged"] == ("False", "Unchanged")


@pytest.mark.parametrize(
    ("last", "asked", "due"),
    [
        (LAST, ASKED, None),
        (LAST, Asked(4, "", "abcdef01"), timedelta()),
        (LAST, Asked(3, "now", "abcdef01"), timedelta()),
        (LAST, Asked(3, "", "00000000"), SETTLING),
        (DOWN, ASKED, FIRST_PAUSE),
        (REFUSED, ASKED, MENDING),
    ],
)
def test_a_check_is_due_when_something_new_is_asked_and_soon_after_a_failure(
    last: LastCheck, asked: Asked, due: timedelta | None
) -> None:
    view, status = replace(VIEW, asked=asked), ConnectionStatus(last_check=last)
    if due is None:
        assert status_of(decide(view, status, timedelta(hours=5))).active_check is None
        begun = status_of(decide(view, status, timedelta(hours=6))).active_check
    else:
        if due:
            assert status_of(decide(view, status, due - SECOND)).active_check is None
        begun = status_of(decide(view, status, due + 10 * SECOND)).active_check
    assert begun is not None
    assert begun.number == 5


def test_the_pause_grows_with_the_time_that_it_has_failed_up_to_a_limit() -> None:
    pauses = []
    for failing in (0, 60, 600, 36_000):
        since = NOON - timedelta(seconds=failing)
        conditions = with_condition([], "Ready", "False", "DestinationUnavailable", now=since)
        decision = decide(VIEW, ConnectionStatus(last_check=DOWN, conditions=conditions), SECOND)
        assert decision.wake is not None
        pauses.append(decision.wake - NOON)
    spread = timedelta(seconds=10)
    wanted = [FIRST_PAUSE, timedelta(seconds=60), timedelta(seconds=600), LONGEST_PAUSE]
    assert all(pause <= found < pause + spread for pause, found in zip(wanted, pauses, strict=True))


@pytest.mark.parametrize(
    ("interval", "latest"),
    [(timedelta(hours=6), MENDING + 10 * SECOND), (timedelta(minutes=2), timedelta(minutes=2))],
)
def test_a_login_that_was_refused_is_tried_again_before_long_because_a_secret_may_have_been_corrected(
    interval: timedelta, latest: timedelta
) -> None:
    view, status = replace(VIEW, interval=interval), ConnectionStatus(last_check=REFUSED)
    wake = decide(view, status).wake
    assert wake is not None
    assert 0.9 * min(interval, MENDING) <= wake - NOON <= latest


def test_a_connection_is_not_checked_more_than_once_a_minute_however_short_its_interval_is() -> None:
    wake = decide(replace(VIEW, interval=SECOND), ConnectionStatus(last_check=LAST)).wake
    assert wake is not None
    assert timedelta(seconds=54) <= wake - NOON <= timedelta(minutes=1)


def test_connections_that_were_made_together_are_not_checked_together() -> None:
    wakes = set()
    for number in range(200):
        meta = META.model_copy(update={"uid": f"{UID}-{number}"})
        decision = checked(VIEW, meta, ConnectionStatus(last_check=LAST), None, NOON, RUNNER)
        assert decision.wake is not None
        wakes.add(decision.wake)
    assert len(wakes) > 150
    assert max(wakes) - min(wakes) > timedelta(minutes=20)


def test_while_many_checks_are_under_way_another_one_waits_for_its_turn() -> None:
    decision = decide(replace(VIEW, busy=True), ConnectionStatus())
    assert (status_of(decision).active_check, decision.actions) == (None, ())
    assert decision.wake is not None
    assert SECOND < decision.wake - NOON < timedelta(seconds=10)


def test_the_request_that_a_check_answered_is_echoed_and_one_that_came_meanwhile_is_not() -> None:
    view = replace(VIEW, asked=Asked(3, "12:00", "abcdef01"))
    begun = status_of(decide(view, ConnectionStatus(last_check=LAST))).active_check
    assert begun is not None
    facts = ended(FOUND)
    under_way = ConnectionStatus(active_check=begun, last_check=LAST)
    done = decide(replace(facts, asked=view.asked), under_way, SECOND)
    assert status_of(done).last_handled_check == "12:00"
    later = decide(replace(facts, asked=Asked(3, "12:05", "abcdef01")), under_way, SECOND)
    assert status_of(later).last_handled_check == ""
    assert status_of(later).active_check is not None


def test_a_connection_whose_settings_are_wrong_is_not_tried() -> None:
    decision = decide(VIEW, ConnectionStatus(), problem=Problem("InvalidConfig", "spec.config.host: is required"))
    assert decision.actions == ()
    assert said(status_of(decision).conditions) == {
        "Ready": ("False", "InvalidConfig"),
        "Stalled": ("True", "InvalidConfig"),
    }


def test_a_changed_connection_is_unknown_until_its_check_ends_and_a_regular_check_changes_nothing() -> None:
    changed = decide(replace(VIEW, asked=Asked(4, "", "abcdef01")), ConnectionStatus(last_check=REFUSED))
    meta = META.model_copy(update={"generation": 4})
    again = checked(replace(VIEW, asked=Asked(4, "", "abcdef01")), meta, status_of(changed), None, NOON, RUNNER)
    assert said(status_of(again).conditions)["Ready"] == ("Unknown", "Checking")
    regular = decide(VIEW, ConnectionStatus(last_check=LAST), timedelta(hours=6))
    assert status_of(regular).active_check is not None
    assert said(status_of(regular).conditions) == {"Ready": ("True", "Checked")}


def test_a_check_without_an_end_is_given_up_and_its_job_deleted() -> None:
    waiting = PodFacts("pod", FIRST.job_name, NOON, waiting=("ImagePullBackOff", "no such image"))
    view, status = replace(VIEW, job=job(), pods=(waiting,)), ConnectionStatus(active_check=FIRST)
    early = status_of(decide(view, status, GIVEN_UP - SECOND))
    assert "no such image" in next(c.message for c in early.conditions if c.type == "Reconciling")
    decision = decide(view, status, GIVEN_UP)
    last = status_of(decision).last_check
    assert last is not None
    assert (last.reason, last.retriable) == ("DeadlineExceeded", True)
    assert "no such image" in last.message
    assert [type(action) for action in decision.actions] == [Delete]


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (replace(VIEW, job=job(owner_uid="somebody")), "NameTaken"),
        (replace(VIEW, refused="quota exceeded"), "JobRefused"),
    ],
)
def test_a_job_that_is_not_ours_or_is_refused_is_said_and_nothing_is_deleted(view: CheckView, reason: str) -> None:
    decision = decide(view, ConnectionStatus(active_check=FIRST))
    last = status_of(decision).last_check
    assert last is not None
    assert (last.reason, last.retriable, decision.actions) == (reason, True, ())


def test_the_pod_is_told_its_check_and_nothing_of_a_run() -> None:
    made = check_job(META, SPEC, RUNNER)
    pod = made["spec"]["template"]
    [container] = pod["spec"]["containers"]
    names = {variable["name"] for variable in container["env"]}
    assert "RETL_CHECK_SPEC" in names
    assert "RETL_RUN_SPEC" not in names
    told = CheckSpec.model_validate_json(pod["metadata"]["annotations"]["reverseetl.io/check-spec"])
    assert told == SPEC
    assert "/etc/retl/secrets/crm-login" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert made["kind"] == JOB
