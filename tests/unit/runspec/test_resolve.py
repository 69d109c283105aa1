"""Five resources into one RunSpec, or one sentence that says what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from retl.errors import InvalidInput, Unresolved
from retl.resources import KINDS, Resource, ReverseETLSync, SyncRun
from retl.resources.marks import TRIGGERED_BY
from retl.runspec import RunSpec
from retl.runspec.resolve import resolve
from tests.unit.resources.cases import DESTINATION, GONE, INLINE, MODEL, RUN, SOURCE, SYNC, Manifest, change

UIDS = {kind: f"00000000-0000-4000-8000-{n:012d}" for n, kind in enumerate(KINDS)}


def read(manifest: Manifest) -> Resource:
    return KINDS[manifest["kind"]].read(change(manifest, {"metadata.uid": UIDS[manifest["kind"]]}))


def resolved(sync: Mapping[str, Any] | None = None, run: Mapping[str, Any] | None = None, *others: Manifest) -> RunSpec:
    """The RunSpec of the standard objects with changes; `others` replace the standard connections and model."""
    found = {type(r): r for r in map(read, others or (SOURCE, MODEL, DESTINATION))}
    the_sync, the_run = read(change(SYNC, sync or {})), read(change(RUN, run or {}))
    assert isinstance(the_sync, ReverseETLSync)
    assert isinstance(the_run, SyncRun)

    def lookup(kind: type[Resource], name: str) -> Resource | None:
        one = found.get(kind)
        return one if one is not None and one.metadata.name == name else None

    return resolve(the_sync, the_run, lookup, attempt=2)


KEYED = {"spec.primaryKey": ["id"]}


def test_everything_the_runner_needs_is_in_the_spec() -> None:
    source = change(SOURCE, {"spec.config": {"host": "db"}, "spec.credentials": {"secretRef": {"name": "login"}}})
    spec = resolved(
        {**KEYED, "metadata.namespace": "growth", "metadata.generation": 7, "spec.guards.minRows": 1},
        {"spec.fullRefresh": True, "spec.approval": {"planHash": "abc"}, "spec.tick": "2026-01-31T23:59:00Z"},
        source,
        MODEL,
        DESTINATION,
    )
    assert (spec.run.name, spec.run.uid, spec.run.attempt) == ("accounts-202601312359", UIDS["SyncRun"], 2)
    assert (spec.run.mode, spec.run.full_refresh, spec.run.approved_plan) == ("Sync", True, "abc")
    assert spec.run.tick is not None
    assert (spec.sync.namespace, spec.sync.name, spec.sync.generation) == ("growth", "accounts", 7)
    assert spec.sync.uid == UIDS["ReverseETLSync"]
    assert (spec.source.connector, spec.source.config, spec.source.secret) == ("postgres", {"host": "db"}, "login")
    assert (spec.destination.name, spec.destination.secret) == ("crm", None)
    assert (spec.query.table, spec.query.sql) == ("analytics.accounts", None)
    assert spec.guards.min_rows == 1
    assert [m.destination for m in spec.mappings] == ["Id", "Name"]


MADE = "2026-01-31T23:59:07Z"
ADA = "7d1f6f0c-0000-5000-8000-00000000ada0"


def test_it_says_when_the_run_was_made_and_who_asked_the_api_for_it() -> None:
    run = resolved(KEYED, {"metadata.creationTimestamp": MADE, "metadata.annotations": {TRIGGERED_BY: ADA}}).run
    assert (run.created_at, str(run.triggered_by)) == (datetime(2026, 1, 31, 23, 59, 7, tzinfo=UTC), ADA)


@pytest.mark.parametrize("annotations", [{}, {TRIGGERED_BY: ""}, {TRIGGERED_BY: "ada@example.com"}])
def test_who_asked_is_not_said_where_nothing_tells(annotations: dict[str, str]) -> None:
    run = resolved(KEYED, {"metadata.annotations": annotations}).run
    assert (run.created_at, run.triggered_by) == (None, None)


def test_an_inline_query_needs_no_model() -> None:
    spec = resolved({"spec.modelRef": GONE, "spec.query": INLINE, **KEYED}, None, SOURCE, DESTINATION)
    assert spec.query.sql == "SELECT id, name FROM accounts"


def test_the_key_of_the_sync_wins_over_the_key_of_the_model() -> None:
    model = change(MODEL, {"spec.primaryKey": ["account_id"]})
    assert resolved(None, None, SOURCE, model, DESTINATION).primary_key == ["account_id"]
    assert resolved(KEYED, None, SOURCE, model, DESTINATION).primary_key == ["id"]


@pytest.mark.parametrize(
    ("sync", "others", "message", "reason"),
    [
        (
            KEYED,
            (SOURCE, DESTINATION),
            "ReverseETLSync accounts: spec.modelRef.name: there is no SyncModel 'active-accounts' in namespace 'def",
            "ModelNotFound",
        ),
        (
            KEYED,
            (MODEL, DESTINATION),
            "SyncModel active-accounts: spec.sourceRef.name: there is no SyncSource 'warehouse' in namespace 'default'",
            "SourceNotFound",
        ),
        (
            {"spec.modelRef": GONE, "spec.query": INLINE, **KEYED},
            (MODEL, DESTINATION),
            "ReverseETLSync accounts: spec.query.sourceRef.name: there is no SyncSource 'warehouse' in namespace",
            "SourceNotFound",
        ),
        (
            {**KEYED, "spec.destinationRef": {"name": "crm-2"}},
            (SOURCE, MODEL, DESTINATION),
            "ReverseETLSync accounts: spec.destinationRef.name: there is no SyncDestination 'crm-2' in namespace",
            "DestinationNotFound",
        ),
    ],
)
def test_a_missing_object_is_named_with_the_field_that_names_it(
    sync: dict[str, Any], others: tuple[Manifest, ...], message: str, reason: str
) -> None:
    with pytest.raises(Unresolved) as caught:
        resolved(sync, None, *others)
    assert message in str(caught.value)
    assert caught.value.reason == reason


def test_without_a_primary_key_both_places_for_one_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"no primary key; set spec.primaryKey here or on SyncModel active-accounts"):
        resolved()
