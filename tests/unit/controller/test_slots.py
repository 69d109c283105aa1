"""Who may go on at a destination that lets only so many runs go on at the same time."""

from dataclasses import replace
from typing import Any

import pytest

from retl.controller.connections.slots import Claim, claim, line, slots
from retl.resources.destination import Slot
from tests.unit.controller.views import NOON, at, run_manifest


def waiting(name: str, minutes: float = 0) -> Claim:
    return Claim(name, f"{name}-uid", at(minutes), waiting=True)


def under_way(name: str) -> Claim:
    return Claim(name, f"{name}-uid", at(-9), under_way=True)


def slot(name: str) -> Slot:
    return Slot(run=name, uid=f"{name}-uid", since=at(-5))


PARKED = Claim("a", "a-uid", at(-9))


@pytest.mark.parametrize(
    ("granted", "limit", "claims", "given"),
    [
        pytest.param([], None, [waiting("a")], [], id="no limit, no slots"),
        pytest.param(["a"], None, [under_way("a")], [], id="the limit was taken away"),
        pytest.param([], 2, [], [], id="nobody"),
        pytest.param([], 2, [waiting("c", 3), waiting("a", 2), waiting("b", 1)], ["b", "a"], id="first come"),
        pytest.param([], 1, [waiting("b"), waiting("a")], ["a"], id="at the same time, by name"),
        pytest.param(["a"], 2, [under_way("a"), waiting("b"), waiting("c")], ["a", "b"], id="what is free"),
        pytest.param(["a"], 1, [under_way("a"), waiting("b")], ["a"], id="full"),
        pytest.param(["a"], 1, [waiting("b")], ["b"], id="ended, or gone"),
        pytest.param(["a"], 1, [PARKED, waiting("b")], ["b"], id="it awaits approval"),
        pytest.param(["a"], 1, [waiting("a"), waiting("b", -9)], ["a"], id="a slot is kept until it is used"),
        pytest.param(["a", "b"], 1, [under_way("a"), under_way("b"), waiting("c")], ["a", "b"], id="limit lowered"),
        pytest.param([], 1, [under_way("a"), under_way("b"), waiting("c")], ["a", "b"], id="limit set while they run"),
        pytest.param(["old"], 1, [replace(waiting("old"), uid="new")], ["old"], id="another run of the same name"),
    ],
)
def test_slots_are_given_in_the_order_of_the_line(
    granted: list[str], limit: int | None, claims: list[Claim], given: list[str]
) -> None:
    standing = [slot(name) for name in granted]
    now = slots(standing, limit, claims, NOON)
    assert [one.run for one in now] == given
    assert slots(now, limit, claims, at(1)) == now
    kept = {one.uid for one in standing}
    assert all((one.since == NOON) != (one.uid in kept) for one in now)


def test_no_sync_crowds_out_another() -> None:
    """Each sync has one reservation, so each stands in line once; the line goes round."""
    order: list[str] = []
    standing: list[Slot] = []
    claims = {name: waiting(name, minute) for minute, name in enumerate("abc")}
    for minute in range(3, 12):
        standing = slots(standing, 1, list(claims.values()), at(minute))
        [holder] = standing
        order.append(holder.run)
        claims[holder.run] = waiting(holder.run, minute)
        claims[holder.run] = replace(claims[holder.run], uid=f"{holder.run}-uid-{minute}")  # its next run
    assert "".join(order) == "abcabcabc"


def test_a_status_never_holds_more_than_it_can() -> None:
    assert len(slots([], 50, [under_way(f"run-{number}") for number in range(80)], NOON)) == 50


@pytest.mark.parametrize(
    ("status", "approval", "expected"),
    [
        pytest.param({}, None, (False, True), id="new"),
        pytest.param({"phase": "Pending"}, None, (False, True), id="in line"),
        pytest.param({"phase": "Pending", "attempt": 1}, None, (True, False), id="started, or resting"),
        pytest.param({"phase": "Running", "attempt": 2}, None, (True, False), id="running"),
        pytest.param({"phase": "AwaitingApproval", "attempt": 1, "planHash": "x"}, None, (False, False), id="held"),
        pytest.param({"phase": "AwaitingApproval", "attempt": 1, "planHash": "x"}, "x", (False, True), id="approved"),
        pytest.param(
            {"phase": "AwaitingApproval", "attempt": 1, "planHash": "x"}, "y", (False, False), id="other plan"
        ),
        pytest.param({"phase": "Succeeded", "attempt": 1}, None, None, id="ended"),
        pytest.param({"phase": "Running", "attempt": "many"}, None, (False, True), id="edited by hand"),
    ],
)
def test_what_a_run_claims(status: dict[str, Any], approval: str | None, expected: tuple[bool, bool] | None) -> None:
    spec: dict[str, Any] = {"approval": {"planHash": approval}} if approval else {}
    found = claim(run_manifest(**spec) | {"status": status}, {"since": at(-1).isoformat()})
    assert (found and (found.under_way, found.waiting)) == expected
    assert found is None or found.since == at(-1)


def test_the_line_leaves_out_who_has_a_slot() -> None:
    claims = [waiting("b", 1), waiting("a", 2), under_way("c"), waiting("d")]
    assert [one.run for one in line(claims, [slot("d")])] == ["b", "a"]
