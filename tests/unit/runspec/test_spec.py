"""The RunSpec and the RunResult as they travel: nothing lost on the way, and small enough for the vehicle."""

from __future__ import annotations

from datetime import UTC, datetime

from retl.resources import ReverseETLSync
from retl.resources.run import RunCounts
from retl.runspec import Connection, Query, RunResult, RunSpec
from retl.runspec.result import MESSAGE_MAX
from retl.runspec.spec import RunIdentity, SyncIdentity
from tests.unit.resources.cases import MAXIMAL_SYNC

UID = "e6457446-a7b4-4edf-8626-e1b9a78b0bc3"
ANNOTATIONS_MAX = 256 * 1024
TERMINATION_MESSAGE_MAX = 4096


def run_spec(sql: str = "SELECT 1") -> RunSpec:
    sync = ReverseETLSync.read(MAXIMAL_SYNC)
    return RunSpec(
        run=RunIdentity(name="accounts-202601312359", uid=UID, tick=datetime(2026, 1, 31, 23, 59, tzinfo=UTC)),
        sync=SyncIdentity(namespace="growth", name=sync.metadata.name, uid=UID),
        source=Connection(name="w", uid=UID, connector="postgres", config={"a": [1, None, {"ü": "✓"}]}, secret="login"),
        query=Query(sql=sql),
        destination=Connection(name="crm", uid=UID, connector="http"),
        object=sync.spec.object,
        mode=sync.spec.mode,
        primary_key=sync.spec.primary_key,
        mappings=sync.spec.mappings,
        delivery=sync.spec.delivery,
        guards=sync.spec.guards,
        dead_letters=sync.spec.dead_letters,
    )


def test_a_run_spec_survives_the_way_through_json() -> None:
    spec = run_spec()
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_run_spec_of_an_earlier_controller_is_understood() -> None:
    spec = run_spec()
    dumped = spec.model_dump(mode="json")
    del dumped["run"]["createdAt"], dumped["run"]["triggeredBy"]
    assert RunSpec.model_validate(dumped) == spec


def test_a_run_spec_speaks_the_language_of_manifests() -> None:
    dumped = run_spec().model_dump(mode="json")
    assert dumped["delivery"]["timeout"] == "1m30s"
    assert dumped["guards"]["maxChanges"] == "100%"
    assert dumped["run"]["tick"] == "2026-01-31T23:59:00Z"


def test_the_largest_query_with_the_most_mappings_fits_an_annotation() -> None:
    assert len(run_spec(sql="é" * 65_536).model_dump_json().encode()) < ANNOTATIONS_MAX


def test_a_result_with_the_longest_message_fits_the_termination_message() -> None:
    result = RunResult(
        run="r" * 58,
        sync="s" * 45,
        status="AwaitingApproval",
        reason="GuardBreached",
        message="x" * MESSAGE_MAX,
        counts=RunCounts(**dict.fromkeys(RunCounts.model_fields, 10**12)),
        dead_letters=10**12,
        plan_hash="f" * 32,
        duration_seconds=123456.789,
    )
    assert len(result.model_dump_json().encode()) < TERMINATION_MESSAGE_MAX
    assert RunResult.model_validate_json(result.model_dump_json()) == result


def test_a_result_of_a_newer_runner_is_read_past_what_is_unknown() -> None:
    assert RunResult.model_validate_json('{"run": "r", "sync": "s", "status": "Failed", "colour": "blue"}').run == "r"
