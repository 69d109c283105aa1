"""What `retl status` shows of objects as the API server gives them."""

from datetime import timedelta
from typing import Any

import pytest

from retl.cli.cluster import status, text
from retl.cli.options import ClusterOutput
from retl.resources.views import Run, Sync
from tests.cli.cluster_objects import NOW, active, ago, condition, run, stalled, sync, unseen


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0s"), (59.4, "59s"), (60, "1m"), (200, "3m20s"), (7200, "2h"), (7500, "2h5m"), (360_000, "4d4h")],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: float, says: str) -> None:
    assert text.span(seconds) == says
    assert text.when(NOW + timedelta(seconds=seconds), NOW) == (f"in {says}" if seconds else "0s ago")
    assert text.when(NOW - timedelta(seconds=seconds), NOW) == f"{says} ago"


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (sync(), "True"),
        (sync(conditions=stalled("SecretNotFound", "no Secret")), "Stalled: SecretNotFound"),
        (sync(spec={"state": "Paused"}), "Paused"),
        (sync(spec={"state": "Draft"}), "Draft"),
        (unseen(), "not looked at yet"),
        (sync(conditions=[condition("Ready", "Unknown", "Checking")]), "Unknown: Checking"),
    ],
    ids=["ready", "stalled", "paused", "draft", "unseen", "unknown"],
)
def test_a_sync_is_ready_or_says_in_a_word_why_not(of: Sync, says: str) -> None:
    assert status.readiness(of) == says


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (sync(), "in 30m"),
        (sync(nextRunTime=ago(seconds=3)), "due"),
        (sync(nextRunTime=None), None),
        (sync(waitingTick={"at": ago(minutes=1), "reason": "DependencyRunning"}), "waits: DependencyRunning"),
        (
            sync(
                spec={"schedule": {"cron": "@after", "dependsOn": [{"syncRef": {"name": "orders"}}]}}, nextRunTime=None
            ),
            "after orders",
        ),
    ],
    ids=["scheduled", "due", "none", "waiting", "after"],
)
def test_the_next_tick_is_a_time_or_what_it_waits_for(of: Sync, says: str | None) -> None:
    assert status.upcoming(of, NOW) == says


SENDING = {"step": "deliver", "rows": 1200, "total": 4000, "updatedAt": ago(seconds=2)}


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (run(phase="Running", progress=SENDING, reason="Running"), "sending 1,200 of 4,000 rows (30 %)"),
        (run(phase="Running", progress=SENDING | {"step": "extract", "total": None}), "reading, 1,200 rows"),
        (run(phase="Running", progress=SENDING, reason="ImagePullBackOff"), "Running: ImagePullBackOff"),
        (run(phase="Pending", reason="WaitingForSlot"), "Pending: WaitingForSlot"),
        (run(), "not looked at yet"),
    ],
)
def test_progress_is_how_far_a_run_is_or_what_holds_it(of: Run, says: str) -> None:
    assert status.progress(of) == says


def test_the_table_has_a_line_a_sync_and_wide_more_of_it_exactly() -> None:
    counts = {"read": 3, "created": 3}
    last = {"name": "accounts-0", "phase": "Failed", "reason": "SourceFailed", "finishedAt": ago(minutes=3)}
    syncs = [
        sync(lastRun=last | {"counts": counts}, deadLetters=2, lastSuccessTime=ago(hours=2)),
        sync("orders", **active("orders-7")),
    ]
    runs = [Run.read(run("orders-7", phase="Running", progress=SENDING, reason="Running").manifest)]
    shown = status.overview(syncs, runs, NOW, several_namespaces=False, wide=False)
    assert shown.splitlines() == [
        "NAME      READY  LAST RUN       NEXT TICK  ACTIVE RUN                                    DEAD LETTERS",
        "accounts  True   Failed 3m ago  in 30m     -                                                        2",
        "orders    True   -              in 30m     orders-7: sending 1,200 of 4,000 rows (30 %)             0",
    ]
    wide = status.overview(syncs, runs, NOW, several_namespaces=True, wide=True).splitlines()
    assert wide[0].split()[0] == "NAMESPACE"
    for part in ("growth", "2026-03-02T11:57:00Z", "2026-03-02T12:30:00Z", "30 * * * *", "UTC", "Account in crm"):
        assert part in wide[1]


def test_the_page_of_a_sync_has_the_whole_picture() -> None:
    of = sync(
        spec={
            "displayName": "Accounts to CRM",
            "schedule": {
                "cron": "30 * * * *",
                "timeZone": "Europe/Vienna",
                "blackouts": [{"cron": "0 22 * * *", "duration": "1h"}],
                "dependsOn": [{"syncRef": {"name": "orders"}}],
            },
        },
        **active("accounts-1"),
        lastRun={
            "name": "accounts-0",
            "phase": "Failed",
            "reason": "SourceFailed",
            "message": "no such table",
            "finishedAt": ago(hours=1),
            "counts": {"read": 3, "created": 3},
        },
        lastSuccessTime=ago(days=2),
        deadLetters=2,
        deadLettersByCode={"CAST_FAILED": 2},
        waitingTick={"at": ago(minutes=1), "reason": "DependencyRunning", "message": "orders is under way"},
        recentTicks=[
            {"at": ago(hours=2), "verdict": "Ran"},
            {"at": ago(hours=1), "verdict": "Missed", "reason": "Late"},
        ],
    )
    runs = [run("accounts-1", phase="Pending", reason="Retrying", message="attempt 1 failed", attempt=1)]
    shown = status.page(of, runs, NOW, 100)
    for line in (
        "accounts in namespace growth: Accounts to CRM",
        "  reads         SyncModel accounts",
        "  writes        Account in SyncDestination crm, mode upsert",
        "  schedule      30 * * * * in Europe/Vienna, after orders, 1 blackout",
        "  next tick     2026-03-02 12:30Z (in 30m)",
        "  waiting       the tick of 2026-03-02T11:59:00Z: DependencyRunning: orders is under way",
        "  active run    accounts-1: Pending: Retrying, attempt 1, since 5m",
        "                attempt 1 failed",
        "  last run      accounts-0: Failed (SourceFailed) 1h ago",
        "                no such table",
        "                read 3 = 3 created",
        "  last success  2d ago",
        "  dead letters  2 open: CAST_FAILED 2",
        "  1h ago  Missed   Late",
        "  2h ago  Ran      Succeeded",
    ):
        assert line in shown.splitlines()
    assert "1h ago" not in status.page(of, runs, NOW, 100, wide=True)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (ClusterOutput.name, "reverseetlsync.reverseetl.io/accounts\nreverseetlsync.reverseetl.io/orders"),
        (ClusterOutput.json, '"kind": "List"'),
        (ClusterOutput.yaml, "kind: List"),
    ],
)
def test_programs_get_the_objects_themselves(form: ClusterOutput, says: str) -> None:
    several: list[dict[str, Any]] = [sync().manifest, sync("orders").manifest]
    assert says in text.machine(form, several)
    several[0]["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    one = text.machine(form, several[0])
    assert "List" not in one
    assert "kubectl" not in one
    assert "accounts" in one
