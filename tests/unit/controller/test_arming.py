"""What a controller does first when it starts among many syncs."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from retl.controller.kinds import Key
from retl.controller.queue import Queue
from retl.controller.syncs.arming import first_alarm
from retl.resources.kinds import RUN, SYNC

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
HOURLY = {"cron": "15 * * * *"}


def sync(spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"generation": 2, "creationTimestamp": "2026-03-01T10:00:00Z"}
    return {"metadata": metadata, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("spec", "status", "at"),
    [
        ({"schedule": HOURLY}, {}, "2026-03-01T10:15:00Z"),
        ({"schedule": HOURLY}, {"observedGeneration": 1}, "2026-03-01T12:15:00Z"),
        (
            {"schedule": HOURLY},
            {"observedGeneration": 2, "nextRunTime": "2026-03-01T11:15:00Z"},
            "2026-03-01T11:15:00Z",
        ),
        ({"schedule": HOURLY}, {"observedGeneration": 2}, None),
        ({"schedule": HOURLY, "state": "Paused"}, {}, None),
        ({"schedule": {"cron": "0 0 30 2 *"}}, {}, None),
        ({"schedule": {"cron": "@after", "dependsOn": [{"syncRef": {"name": "other"}}]}}, {}, None),
        ({"schedule": {"cron": 7}}, {}, None),
        ({}, {}, None),
    ],
    ids=["never seen", "changed since", "as it was", "stalled", "paused", "never fires", "after", "invalid", "by hand"],
)
def test_a_tick_is_armed_by_what_the_first_list_says(
    spec: dict[str, Any], status: dict[str, Any], at: str | None
) -> None:
    assert first_alarm(sync(spec, status), NOW) == (datetime.fromisoformat(at) if at else None)


async def test_what_happens_now_goes_before_what_can_be_looked_at_later() -> None:
    queue, done = Queue(), []
    first, second, third = (Key(SYNC, "n", name) for name in "abc")
    queue.add(first, later=True)
    queue.add(second, later=True)
    queue.add(third)
    queue.add(second)
    queue.add(third, later=True)
    assert len(queue) == 3

    async def note(key: Key) -> None:
        done.append(key)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await queue.work(note)
    assert done == [third, second, first]


async def test_what_can_wait_waits_for_much_else_and_not_for_ever() -> None:
    queue, done = Queue(), []
    last = Key(RUN, "n", "later")
    queue.add(last, later=True)
    for number in range(100):
        queue.add(Key(SYNC, "n", f"{number}"))

    async def note(key: Key) -> None:
        done.append(key)
        if key == last:
            queue.close()

    await queue.work(note)
    assert 10 < len(done) < 90


async def test_what_is_no_longer_to_wait_does_not_even_if_it_is_in_hand() -> None:
    queue, done, key, other = Queue(), [], Key(RUN, "n", "a"), Key(RUN, "n", "b")
    queue.add(key)

    async def note(one: Key) -> None:
        done.append(one)
        if len(done) == 1:
            queue.add(key, later=True)
            queue.add(key)
            queue.add(other)
        elif len(done) == 3:
            queue.close()

    await queue.work(note)
    assert sorted(done[1:]) == [key, other]
    assert len(queue) == 0
