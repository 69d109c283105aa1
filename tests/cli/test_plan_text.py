"""A plan as a person reads it, in a terminal and in a pull request."""

import re
from typing import Any

import pytest

from retl.cli import plans
from retl.resources.run import RunCounts
from retl.runspec.plan import Drift, Estimate, GuardVerdict, Plan, PlannedChange

APPROVE = "retl run --sync accounts --approve abc"
ESCAPES = "\x1b[31mred```\x9b0m\u202e\r\n| `x` @ops <img src=x> **bold**"
KEPT = GuardVerdict(guard="minRows", limit="1", value=14, breached=False)
BROKEN = GuardVerdict(
    guard="maxDeletes",
    limit="10%",
    value=2,
    breached=True,
    message="2 records would be deleted, more than guards.maxDeletes 10% of the 12 that this sync wrote before",
)


def _plan(**changes: Any) -> Plan:
    base: dict[str, Any] = {
        "run": "accounts-1",
        "sync": "accounts",
        "namespace": "default",
        "mode": "mirror",
        "plan_hash": "abc",
        "counts": RunCounts(read=14, unchanged=10, created=1, updated=1, deleted=2),
        "samples": [
            PlannedChange(operation="create", after={"id": 7}, record={"id": 7, "name": "Ada", "address": {"n": [1]}}),
            PlannedChange(operation="update", before={"id": 1}, after={"id": 2}, record={"id": 2}),
            PlannedChange(operation="delete", before={"id": 3}),
        ],
        "notes": ["the mode was upsert and is mirror now, so the snapshot starts anew"],
        "drift": [
            Drift(kind="ColumnGone", name="phone", before="string"),
            Drift(kind="TypeChanged", name="seats", before="int32", after="string"),
            Drift(kind="FieldReadOnly", name="Id"),
        ],
        "guards": [KEPT, BROKEN],
        "estimate": Estimate(calls={"write": 1, "delete": 1}, seconds=200.0),
    }
    return Plan(**(base | changes))


def test_a_terminal_shows_all_that_a_decision_needs() -> None:
    assert plans.text(_plan(), APPROVE, 100) == (
        """\
Plan of accounts: 1 to create, 1 to update, 2 to delete; a guard would hold it
  mode mirror, read 14 = 1 created + 1 updated + 2 deleted + 10 unchanged

Sample: 3 of 4 changes
+ id=7
    id=7, name="Ada", address={"n": [1]}
~ id=1 becomes id=2
    id=2
- id=3

Guards
  minRows 1: kept, at 14
  maxDeletes 10%: BROKEN, 2 records would be deleted, more than guards.maxDeletes 10% of the 12 that
    this sync wrote before

Drift
  the query no longer returns column 'phone' (string)
  column 'seats' was int32 and is string now
  the destination's field 'Id' cannot be written

Notes
  the mode was upsert and is mirror now, so the snapshot starts anew

Estimated: 2 calls (1 to write, 1 to delete), at least 3 min 20 s under the destination's rate limit

To write exactly this: retl run --sync accounts --approve abc"""
    )


def test_a_plan_that_writes_nothing_has_nothing_to_approve() -> None:
    quiet = {"samples": [], "notes": [], "drift": [], "guards": [], "estimate": Estimate()}
    plan = _plan(counts=RunCounts(read=14, unchanged=14), **quiet)
    assert plans.text(plan, APPROVE, 100) == (
        "Plan of accounts: nothing to write\n  mode mirror, read 14 = 14 unchanged"
    )
    assert APPROVE not in plans.markdown(plan, APPROVE)


def test_a_run_that_cannot_begin_says_why() -> None:
    plan = _plan(plan_hash="", counts=RunCounts(), samples=[], guards=[], estimate=Estimate(), notes=["no column x"])
    shown = plans.text(plan, APPROVE, 100)
    assert shown.startswith("Plan of accounts: the run cannot begin\n")
    assert "  no column x" in shown
    assert APPROVE not in shown


def test_a_pull_request_has_the_counts_in_a_table_and_the_sample_folded_away() -> None:
    shown = plans.markdown(_plan(), APPROVE)
    assert shown.startswith("### Plan of `accounts`: 1 to create, 1 to update, 2 to delete; a guard would hold it\n")
    assert (
        "| read | unchanged | created | updated | deleted |\n|---:|---:|---:|---:|---:|\n| 14 | 10 | 1 | 1 | 2 |"
        in shown
    )
    assert "| `minRows` | `1` | 14 | kept |" in shown
    assert "| `maxDeletes` | `10%` | 2 | **broken**: 2 records would be deleted" in shown
    details = re.search(
        r"<details><summary>Sample: 3 of 4 changes</summary>\n\n```diff\n(.*?)\n```\n\n</details>", shown, re.S
    )
    assert details is not None
    assert details[1].splitlines()[:2] == ["+ id=7", '    id=7, name="Ada", address={"n": [1]}']
    assert "- the query no longer returns column 'phone' (string)" in shown
    assert f"To write exactly this:\n\n```sh\n{APPROVE}\n```" in shown


def test_text_of_strangers_commands_neither_a_terminal_nor_a_pull_request() -> None:
    plan = _plan(
        samples=[PlannedChange(operation="create", after={"id": ESCAPES}, record={"id": ESCAPES})],
        drift=[Drift(kind="ColumnAdded", name=ESCAPES, after="string")],
        notes=[ESCAPES],
        guards=[BROKEN.model_copy(update={"message": ESCAPES})],
    )
    for shown in (plans.text(plan, APPROVE, 100), plans.markdown(plan, APPROVE)):
        assert all(c.isprintable() or c in "\n\N{ZERO WIDTH SPACE}" for c in shown)
    shown = plans.markdown(plan, APPROVE)
    prose = re.sub(r"(`{3,})(diff|sh)\n.*?\n\1", "", shown, flags=re.S)
    assert "@ops" not in prose
    assert "<img" not in prose.replace("\\<", "")
    assert re.findall(r"(?<!\\)\|", next(line for line in prose.splitlines() if "maxDeletes" in line)) == ["|"] * 5
    assert "\n````diff\n" in shown  # a fence longer than any in the sample


def test_numbers_of_a_sample_keep_their_digits() -> None:
    document = _plan().model_dump_json().replace('"name":"Ada"', '"name":1.10,"big":123456789012345678901234567890')
    assert "name=1.10, big=123456789012345678901234567890" in plans.text(plans.read(document.encode()), APPROVE, 100)


def test_long_values_and_wide_records_are_cut_for_the_eye() -> None:
    record = {f"field{n}": "x" * 500 for n in range(30)}
    shown = plans.text(_plan(samples=[PlannedChange(operation="create", after={}, record=record)]), APPROVE, 100)
    assert "and 18 more fields" in shown
    assert "xxx…" in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize(("message", "fence"), [("it is down", "```"), ("has ``` in it", "````")])
def test_a_plan_that_could_not_be_made_is_said_in_the_pull_request(message: str, fence: str) -> None:
    shown = plans.no_plan("accounts", "SourceFailed", message)
    assert shown == f"### No plan of `accounts`: SourceFailed\n\n{fence}\n{message}\n{fence}"
