"""Every tick accounted for, whatever becomes of the controller."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tests.cluster.controllers import ControllerProcess
from tests.cluster.objects import PATIENCE, Namespace, jobs, ready, sync
from tests.cluster.processes import wait_until

SYNCS = 5
ROUNDS = 20
KILLED_IN = {5: 0.1, 10: 0.4, 15: 0.8}
"""Round: seconds after the tick."""
EVERY = timedelta(minutes=10)


class Ledger:
    """All verdicts that were ever in a status; a status keeps twenty."""

    def __init__(self, shop: Namespace) -> None:
        self._shop = shop
        self.verdicts: dict[tuple[str, datetime], tuple[str, str]] = {}

    def read(self) -> list[dict[str, Any]]:
        """Take in what the statuses say now; none may say another thing of a tick than before."""
        syncs = self._shop.list("retl")
        for each in syncs:
            for tick in each["status"].get("recentTicks", []):
                key = each["metadata"]["name"], datetime.fromisoformat(tick["at"])
                verdict = tick["verdict"], tick.get("reason", "")
                assert self.verdicts.setdefault(key, verdict) == verdict, f"{key} had another verdict before"
        return syncs

    def idle(self) -> bool:
        """Whether no run is under way."""
        return not any("activeRun" in sync["status"] for sync in self.read())

    def answered(self, tick: datetime) -> bool:
        """Whether every sync has a verdict on that tick."""
        return all((sync["metadata"]["name"], tick) in self.verdicts for sync in self.read())


def newest_tick(now: float) -> datetime:
    """Of the schedule that all syncs have, at those epoch seconds."""
    return datetime.fromtimestamp(now - now % EVERY.total_seconds(), UTC)


def test_a_hundred_ticks_over_three_kills_have_a_hundred_verdicts(
    controller: ControllerProcess, shop: Namespace
) -> None:
    names = [f"sync-{number}" for number in range(SYNCS)]
    spec: dict[str, Any] = {"schedule": {"cron": "*/10 * * * *"}, "history": {"successful": 100}}
    controller.advance(EVERY.total_seconds() * 1.5 - time.time() % EVERY.total_seconds())  # to between two ticks
    controller.start()
    shop.apply(*(sync(name, **spec) for name in names))
    for name in names:
        shop.until("retl", name, ready)
    ledger = Ledger(shop)
    assert wait_until(ledger.idle, PATIENCE)  # the syncs were made before what their controller takes for now
    for number in range(1, ROUNDS + 1):
        controller.advance(EVERY.total_seconds())
        if number in KILLED_IN:
            time.sleep(KILLED_IN[number])  # a different moment of the work each time
            controller.kill()
            controller.start()
        tick = newest_tick(time.time() + controller.offset)
        assert wait_until(partial(ledger.answered, tick), PATIENCE, every=0.2), controller.log()
    assert wait_until(ledger.idle, PATIENCE)
    controller.stop()

    by_sync = {name: sorted(at for of, at in ledger.verdicts if of == name) for name in names}
    for name, ticks in by_sync.items():
        assert ticks == [ticks[0] + EVERY * number for number in range(len(ticks))], f"{name} has a gap"
    assert min(map(len, by_sync.values())) >= ROUNDS
    ran = {key for key, (verdict, _) in ledger.verdicts.items() if verdict == "Ran"}
    runs = [
        (run["spec"]["syncRef"]["name"], datetime.fromisoformat(run["spec"]["tick"])) for run in shop.list("syncrun")
    ]
    assert Counter(runs) == dict.fromkeys(ran, 1)
    assert len(ran) > len(ledger.verdicts) / 2  # a tick may find the run of the one before it under way
    assert {run["status"]["phase"] for run in shop.list("syncrun")} == {"Succeeded"}
    assert Counter(job["metadata"]["labels"]["reverseetl.io/run"] for job in jobs(shop)) == {
        run["metadata"]["name"]: 1 for run in shop.list("syncrun")
    }
    print(f"\n{len(ledger.verdicts)} ticks, {len(KILLED_IN)} kills: {dict(Counter(ledger.verdicts.values()))}")
