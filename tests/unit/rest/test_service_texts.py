"""Names, queries, cursors, manifests and digests of the service layer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import yaml

from retl.resources.names import RUN_NAME_MAX, SYNC_NAME_MAX
from retl.rest.callers.caller import Caller
from retl.rest.problems import Problem
from retl.rest.service import gitops, idempotency, manifests, naming, runlist, sql
from retl.rest.service.values import Place, Write

PLACE = Place("growth", UUID(int=7), datetime(2026, 1, 1, tzinfo=UTC))
SOMEBODY = Caller("somebody", None, {})


@pytest.mark.parametrize(
    ("display_name", "slug"),
    [
        ("Accounts to Salesforce", "accounts-to-salesforce"),
        ("  Comptes à jour! ", "comptes-a-jour"),
        ("日本語", "sync"),
        ("--9--", "9"),
        ("x" * 60, "x" * 34),
        ("a" * 33 + " b", "a" * 33),
    ],
)
def test_a_sync_is_named_after_its_display_name(display_name: str, slug: str) -> None:
    names = list(naming.sync_names(display_name))
    assert (names[0], len(set(names))) == (slug, 4)
    [with_key] = naming.sync_names(display_name, "abcdefghij")
    assert all(len(name) <= SYNC_NAME_MAX for name in [*names, with_key])
    assert len(naming.run_name("s" * SYNC_NAME_MAX, "abcdefghij")) <= RUN_NAME_MAX


@pytest.mark.parametrize(
    ("query", "model"),
    [
        ("model:accounts", "accounts"),
        (" model: accounts ", "accounts"),
        ("ref('accounts')", "accounts"),
        ('ref( "accounts" )', "accounts"),
        ("ref('accounts\")", None),
        ("SELECT * FROM ref('accounts')", None),
    ],
)
def test_a_query_that_is_a_name_is_a_model(query: str, model: str | None) -> None:
    assert sql.model_named(query) == model


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("SELECT 1", True),
        ("select 1;", True),
        ("SELECT ';' AS a, \"b;\" ;  -- done; really", True),
        ("/* first; */ ((WITH x AS (SELECT 1) TABLE x))", True),
        ("values (1)", True),
        ("SELECT $$a;b$$, $t$ ; $$ $t$", True),
        ("DELETE FROM accounts", False),
        ("selection", False),
        ("SELECT 1; DROP TABLE accounts", False),
        ("SELECT 1;;SELECT 2", False),
        ("", False),
        ("-- SELECT 1", False),
    ],
)
def test_sql_must_be_one_statement_that_reads(query: str, reads: bool) -> None:
    assert (sql.wrong_with(query) == "") is reads


@pytest.mark.parametrize("piece", ["/*", "'", '"', "$$", "$a$", ";", "`", "--", "(", " ;", "; "])
def test_looking_at_sql_takes_no_longer_than_it_is_long(piece: str) -> None:
    """A scan that went back and forth would take minutes."""
    sql.wrong_with("SELECT 1 " + piece * (65_536 // len(piece)))


def test_a_request_is_known_by_who_asked_for_what_where() -> None:
    how = Write(idempotency_key="k", digest="a" * 64)
    first = idempotency.request(how, SOMEBODY, PLACE, "create_sync")
    assert first is not None
    others = [
        idempotency.request(Write(idempotency_key="l"), SOMEBODY, PLACE, "create_sync"),
        idempotency.request(how, Caller("else", None, {}), PLACE, "create_sync"),
        idempotency.request(
            how, SOMEBODY, Place("growth", UUID(int=8), datetime(2026, 1, 1, tzinfo=UTC)), "create_sync"
        ),
        idempotency.request(how, SOMEBODY, PLACE, "start:Sync:1"),
    ]
    digests = {each.digest for each in others if each is not None}
    assert (len(digests), first.digest in digests) == (4, False)
    assert idempotency.request(Write(), SOMEBODY, PLACE, "create_sync") is None
    made = {"metadata": {"annotations": first.annotations}}
    assert first.made(made)
    assert not first.made({"metadata": {}})
    again = idempotency.request(Write(idempotency_key="k", digest="b" * 64), SOMEBODY, PLACE, "create_sync")
    assert again is not None
    with pytest.raises(Problem) as caught:
        again.made(made)
    assert (caught.value.status, caught.value.slug) == (422, "idempotency-key-reused")


MANIFEST: dict[str, Any] = {
    "apiVersion": "reverseetl.io/v1alpha1",
    "kind": "ReverseETLSync",
    "metadata": {
        "name": "accounts",
        "namespace": "growth",
        "uid": "1",
        "resourceVersion": "5",
        "managedFields": [{}],
        "labels": {"team": "crm", "kustomize.toolkit.fluxcd.io/name": "growth"},
        "annotations": {"reverseetl.io/created-by": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    },
    "spec": {
        "modelRef": {"name": "accounts"},
        "object": "Account",
        "mode": "upsert",
        "mappings": [
            {"source": "id", "destination": "Id", "key": True, "skipNulls": False},
            {"value": "", "destination": "X"},
        ],
        "allColumns": {},
        "schedule": {"cron": "0 * * * *", "timeZone": "UTC"},
        "delivery": {"timeout": "30s", "maxInFlight": 4},
        "guards": {"maxDeletes": "10%", "onBreach": "AwaitApproval", "minRows": 0},
        "tomorrow": {"x": []},
    },
    "status": {"observedGeneration": 1},
}


def test_a_manifest_to_commit_says_what_people_would_write() -> None:
    wanted = {
        "apiVersion": "reverseetl.io/v1alpha1",
        "kind": "ReverseETLSync",
        "metadata": {"name": "accounts", "namespace": "growth", "labels": {"team": "crm"}},
        "spec": {
            "modelRef": {"name": "accounts"},
            "object": "Account",
            "mappings": [{"source": "id", "destination": "Id", "key": True}, {"value": "", "destination": "X"}],
            "allColumns": {},
            "schedule": {"cron": "0 * * * *"},
            "guards": {"maxDeletes": "10%", "minRows": 0},
            "tomorrow": {"x": []},
        },
    }
    assert yaml.safe_load(manifests.documents([MANIFEST])) == wanted
    assert list(yaml.safe_load_all(manifests.documents([MANIFEST, MANIFEST]))) == [wanted, wanted]


def test_what_git_keeps_is_not_changed_here_but_there() -> None:
    gitops.check(MANIFEST | {"metadata": MANIFEST["metadata"] | {"labels": {}}}, {"state": "Paused"})
    labels = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux"}
    kept = MANIFEST | {"metadata": MANIFEST["metadata"] | {"labels": labels}}
    with pytest.raises(Problem) as caught:
        gitops.check(kept, {"state": "Paused"})
    problem = caught.value
    assert (problem.status, problem.slug) == (409, "managed-by-gitops")
    assert problem.detail == "ReverseETLSync accounts is kept by Flux Kustomization flux/apps; change it in Git"
    assert problem.further["managed_by"] == {"tool": "Flux", "application": "flux/apps"}
    assert yaml.safe_load(problem.further["patch"])["spec"] == {"state": "Paused"}
    with pytest.raises(Problem) as caught:
        gitops.check(kept, None)
    assert "patch" not in caught.value.further


def test_a_place_in_the_list_of_runs_is_a_text_and_back() -> None:
    place = (datetime(2026, 1, 31, 23, 59, 0, 123456, UTC), UUID(int=5))
    assert runlist.read(runlist.written(place)) == place
    moments = ("yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
    for text in ("", "_", "2026-01-31T00:00:00+00:00_x", *(f"{moment}_{UUID(int=1)}" for moment in moments)):
        with pytest.raises(Problem) as caught:
            runlist.read(text)
        assert (caught.value.status, caught.value.slug) == (422, "invalid-cursor")
