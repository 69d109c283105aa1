"""What `retl why` concludes from a sync and what surrounds it."""

from typing import Any

import pytest

from retl.cli.cluster import findings, why
from retl.cli.cluster.access import Reach
from retl.cli.cluster.advice import Commands
from retl.cli.cluster.findings import Situation
from retl.resources.views import Other, Sync
from tests.cli.cluster_objects import active, ago, destination, run, situation, stalled, sync, unseen

COMMANDS = Commands(Reach(namespace="growth"), "growth")
HELD = run(phase="AwaitingApproval", reason="GuardBreached", message="4 deletes, 3 allowed", attempt=1)
UNDER_WAY = run(phase="Running", reason="Running", attempt=1)
ORDERS = {"schedule": {"cron": "@hourly", "dependsOn": [{"syncRef": {"name": "orders"}}]}}
FRESH_ORDERS = {"schedule": {"cron": "@hourly", "dependsOn": [{"syncRef": {"name": "orders"}, "maxAge": "2h"}]}}
MONTH_END = {"cron": "0 10 * * *", "duration": "4h", "reason": "month end"}
DELETED = "SyncDestination crm: there is no Secret 'crm-login' in namespace 'growth'"
SECRET = {"credentials": {"secretRef": {"name": "crm-login"}}}
WAITING_POD = {
    "metadata": {"name": "accounts-1-1-abc"},
    "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]},
}
UNPLACED_POD = {
    "metadata": {"name": "accounts-1-1-abc"},
    "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes have room"}]},
}

OUT_OF_MEMORY = {
    "number": 1,
    "jobName": "accounts-1-1",
    "reason": "OOMKilled",
    "message": "it used more memory than it may",
}


def ended(phase: str, reason: str = "", **changes: Any) -> Sync:
    last = {"name": "orders-0", "phase": phase, "reason": reason or phase, "finishedAt": ago(minutes=9)}
    return sync("orders", lastRun=last, **changes)


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (situation(sync()), "accounts runs next at 2026-03-02 12:30Z (in 30m)."),
        (situation(sync(conditions=stalled("SecretNotFound", "x"))), "does not run: it is Stalled (SecretNotFound)."),
        (situation(sync(spec={"state": "Draft"})), "accounts does not run: it is a Draft."),
        (situation(sync(spec={"state": "Paused"})), "accounts does not run by itself: it is Paused."),
        (situation(sync(**active()), HELD), "waits for a person: accounts-1 is held until its plan is approved."),
        (situation(sync(**active()), UNDER_WAY), "accounts has a run under way: accounts-1, Running."),
        (situation(sync(**active())), "accounts is reserved for accounts-1, which is about to be created."),
        (
            situation(sync(waitingTick={"at": ago(minutes=1), "reason": "DependencyRunning"})),
            "accounts waits with the tick of 2026-03-02 11:59Z: DependencyRunning.",
        ),
        (situation(unseen()), "accounts does not run: no controller has looked at it yet."),
        (situation(sync(spec={"schedule": None})), "accounts runs only when it is told to: it has no schedule."),
        (situation(sync(spec=ORDERS, nextRunTime=None)), "accounts has no next tick: it follows orders."),
    ],
    ids=lambda value: None if isinstance(value, Situation) else value[:30],
)
def test_the_answer_is_one_sentence(of: Situation, says: str) -> None:
    assert why.answer(of).endswith(says)


@pytest.mark.parametrize(
    ("of", "level", "says", "type"),
    [
        (
            situation(sync(generation=2)),
            "problem",
            "no controller has looked at its last change yet",
            "kubectl get pods",
        ),
        (
            situation(
                sync(conditions=stalled("SecretNotFound", "SyncDestination crm: there is no Secret")),
                ends=(destination(SECRET, conditions=stalled("SecretNotFound", "there is no Secret")),),
            ),
            "problem",
            "there is no Secret",
            "kubectl create secret generic crm-login --from-literal=KEY=VALUE -n growth",
        ),
        (
            situation(sync(conditions=stalled("SecretNotFound", DELETED))),
            "problem",
            "SecretNotFound: SyncDestination crm: there is no Secret 'crm-login' in namespace 'growth'",
            "kubectl create secret generic crm-login --from-literal=KEY=VALUE -n growth",
        ),
        (
            situation(sync(conditions=stalled("InvalidSchedule", "spec.schedule.cron: never fires"))),
            "problem",
            "InvalidSchedule: spec.schedule.cron: never fires",
            "",
        ),
        (
            situation(sync(spec={"schedule": {"cron": "@hourly", "blackouts": [MONTH_END]}})),
            "waits",
            "a blackout lasts until 2026-03-02 14:00Z (in 2h): month end",
            "retl run accounts -n growth",
        ),
        (
            situation(sync(**active()), HELD),
            "problem",
            "accounts-1: GuardBreached: 4 deletes, 3 allowed",
            "retl approve accounts-1 -n growth",
        ),
        (
            situation(sync(**active()), UNDER_WAY),
            "waits",
            "accounts-1, attempt 1: Running, for 5m",
            "retl logs accounts-1 -f -n growth",
        ),
        (
            situation(
                sync(**active()), run(phase="Running", reason="Running", attempt=2, failedAttempts=[OUT_OF_MEMORY])
            ),
            "note",
            "attempt 1 failed: OOMKilled: it used more memory than it may",
            "retl logs accounts-1 --attempt 1 -n growth",
        ),
        (
            situation(
                sync(conditions=stalled("ColumnNotFound", "there is no 'nme'")),
                ends=(destination(), Other("SyncSource", "shop", there=True)),
            ),
            "problem",
            "ColumnNotFound: there is no 'nme'",
            "retl check shop -n growth",
        ),
        (
            situation(sync(**active()), UNDER_WAY, pods=(WAITING_POD,)),
            "waits",
            "pod accounts-1-1-abc cannot start: ErrImagePull: no such image",
            "",
        ),
        (
            situation(sync(**active()), UNDER_WAY, pods=(UNPLACED_POD,)),
            "waits",
            "pod accounts-1-1-abc cannot be placed: 0/3 nodes have room",
            "",
        ),
        (
            situation(
                sync(**active()),
                run(phase="Pending", reason="WaitingForSlot"),
                ends=(destination(slots=[{"run": "orders-3", "uid": "u", "since": ago(minutes=1)}]),),
            ),
            "waits",
            "the slots of SyncDestination crm are with orders-3",
            "",
        ),
        (
            situation(sync(**active()), UNDER_WAY, run("accounts-b"), run("accounts-a")),
            "waits",
            "2 runs in line for the sync, oldest first: accounts-a, accounts-b",
            "",
        ),
        (
            situation(sync(spec=ORDERS), orders=None),
            "problem",
            "it depends on orders, which is not there: its ticks are skipped",
            "",
        ),
        (
            situation(sync(spec=ORDERS), orders=ended("Failed", "SourceFailed")),
            "problem",
            "it depends on orders, whose last run ended Failed (SourceFailed): its ticks are skipped",
            "retl why orders -n growth",
        ),
        (
            situation(sync(spec=FRESH_ORDERS), orders=ended("Succeeded", lastSuccessTime=ago(hours=3))),
            "problem",
            "it depends on orders, whose last success is 3h old, 2h allowed: its ticks are skipped",
            "retl why orders -n growth",
        ),
        (
            situation(sync(), ends=(Other("SyncDestination", "crm", there=False),)),
            "problem",
            "there is no SyncDestination crm in namespace 'growth'",
            "",
        ),
        (
            situation(
                sync(),
                ends=(
                    destination(
                        lastCheck={
                            "number": 1,
                            "asked": "x",
                            "succeeded": False,
                            "reason": "DestinationAuth",
                            "message": "401",
                            "finishedAt": ago(minutes=2),
                        }
                    ),
                ),
            ),
            "problem",
            "SyncDestination crm: the last check failed 2m ago: DestinationAuth: 401",
            "retl check crm -n growth",
        ),
        (
            situation(
                sync(
                    recentTicks=[
                        {"at": ago(hours=h), "verdict": "Skipped", "reason": "AwaitingApproval"} for h in (2, 1)
                    ]
                )
            ),
            "note",
            "2 recent ticks Skipped, AwaitingApproval: a run waits for a person's approval",
            "retl approve accounts -n growth",
        ),
        (
            situation(
                sync(lastRun={"name": "accounts-0", "phase": "Failed", "reason": "SourceFailed", "message": "no table"})
            ),
            "problem",
            "the last run, accounts-0, failed: SourceFailed: no table",
            "retl logs accounts-0 -n growth",
        ),
        (situation(sync(deadLetters=1)), "note", "1 open dead letter", "retl dlq list accounts -n growth"),
        (
            situation(sync(spec={"state": "Paused"})),
            "problem",
            "spec.state is Paused",
            "retl resume accounts -n growth",
        ),
    ],
)
def test_what_keeps_a_sync_from_running_is_found_with_what_to_type(
    of: Situation, level: str, says: str, type: str
) -> None:
    found = [each for each in findings.findings(of, COMMANDS) if says in each.says]
    assert [each.level for each in found] == [level]
    assert type in found[0].type


def test_a_sync_that_is_well_has_nothing_to_find() -> None:
    assert findings.findings(situation(sync(spec=ORDERS), orders=ended("Succeeded")), COMMANDS) == []


def test_nothing_is_said_twice() -> None:
    circle = sync(spec=ORDERS, conditions=stalled("DependencyCycle", "accounts → orders → accounts"))
    pulling = run(
        phase="Running", reason="ErrImagePull", attempt=1, message="pod accounts-1-1-abc cannot pull its image"
    )
    by_hand = sync(spec={"schedule": None}, **active())
    for of in (situation(circle, orders=ended("Failed")), situation(by_hand, pulling, pods=(WAITING_POD,))):
        [found] = findings.findings(of, COMMANDS)
        assert "cannot start" not in found.says


def test_ticks_are_shown_with_what_their_verdicts_mean() -> None:
    of = sync(
        recentTicks=[
            {"at": ago(hours=3), "verdict": "Ran"},
            {"at": ago(hours=2), "verdict": "Missed", "reason": "StartingDeadlineExceeded"},
            {"at": ago(hours=1), "verdict": "Skipped", "reason": "Blackout", "message": "month end"},
        ]
    )
    lines = why.text(situation(of), COMMANDS, 100).splitlines()
    table = [line.split(None, 4) for line in lines[lines.index("Recent ticks") + 2 :]]
    assert [row[2:] for row in table] == [
        ["Skipped", "Blackout", "month end"],
        ["Missed", "StartingDeadlineExceeded", "it could not start within schedule.startingDeadline"],
        ["Ran", "Succeeded", "-"],
    ]


def test_a_command_stays_in_one_line_however_narrow_the_terminal() -> None:
    of = situation(sync(), ends=(destination(SECRET, conditions=stalled("SecretNotFound", "there is none " * 9)),))
    shown = why.text(of, COMMANDS, 40)
    assert "  type:  kubectl create secret generic crm-login --from-literal=KEY=VALUE -n growth" in shown.splitlines()


def test_a_pod_that_is_only_starting_is_no_problem() -> None:
    pod = {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]},
    }
    assert findings.pod_problem(pod) == ""
