"""The CustomResourceDefinitions before a real API server: what it takes, what it refuses, and how it shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from retl.resources import KINDS
from tests.cluster.cluster import Cluster
from tests.cluster.kubectl import KubectlError
from tests.unit.resources.cases import ACCEPTED, MAXIMAL_SYNC, REFUSED, RUN, SOURCE, SYNC, Manifest, Refused, change

ALL_KINDS = "syncsources,syncmodels,syncdestinations,reverseetlsyncs,syncruns"


class Bench:
    """kubectl in one namespace, with manifests as values."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._kubectl, self._namespace = cluster.kubectl, namespace

    def __call__(self, *args: str, input: Manifest | None = None) -> str:
        text = None if input is None else yaml.safe_dump(input)
        return self._kubectl(*args, "-n", self._namespace, input=text)

    def create(self, manifest: Manifest) -> dict[str, Any]:
        """The object as stored."""
        created: dict[str, Any] = json.loads(self("create", "-o", "json", "-f", "-", input=manifest))
        return created

    def get(self, *args: str) -> Any:
        return json.loads(self("get", *args, "-o", "json"))

    def patch(self, kind: str, name: str, patch: Any, *args: str) -> str:
        return self("patch", kind, name, "--type=merge", "-p", json.dumps(patch), *args)

    def refusal(self, *args: str, input: Manifest | None = None) -> str:
        with pytest.raises(KubectlError) as caught:
            self(*args, input=input)
        return str(caught.value)

    def table(self, *args: str) -> list[dict[str, str]]:
        """What `kubectl get` prints, a dict a row; columns are cut where the header says, so cells may be empty."""
        header, *rows = self("get", *args).splitlines()
        starts = [i for i, char in enumerate(header) if char != " " and (i == 0 or header[i - 1] == " ")]
        ends = [*starts[1:], None]
        names = [header[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        return [
            {name: row[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)} for row in rows
        ]


@pytest.fixture
def bench(cluster: Cluster, namespace: str) -> Bench:
    return Bench(cluster, namespace)


@pytest.fixture(scope="module")
def dry_run(cluster: Cluster) -> Bench:
    """For manifests that are only asked about: nothing is stored, so one namespace serves all."""
    return Bench(cluster, "default")


@pytest.mark.parametrize("manifest", ACCEPTED.values(), ids=ACCEPTED)
def test_a_good_manifest_is_taken(dry_run: Bench, manifest: Manifest) -> None:
    assert "(server dry run)" in dry_run("create", "--dry-run=server", "-f", "-", input=manifest)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_bad_manifest_is_refused_in_words_that_help(dry_run: Bench, case: Refused) -> None:
    assert case.api in dry_run.refusal("create", "--dry-run=server", "-f", "-", input=case.manifest)


def test_the_definitions_are_established_and_structural(cluster: Cluster) -> None:
    for kind in KINDS.values():
        crd = json.loads(cluster.kubectl("get", "crd", f"{kind.plural}.reverseetl.io", "-o", "json"))
        conditions = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
        assert conditions["Established"] == conditions["NamesAccepted"] == "True"
        assert "NonStructuralSchema" not in conditions


DELIVERY = {"maxInFlight": 4, "maxAttempts": 5, "timeout": "30s", "onUnknown": "Resend"}


def test_defaults_are_filled_in_where_they_hold(bench: Bench) -> None:
    spec = bench.create(SYNC)["spec"]
    assert (spec["mode"], spec["state"]) == ("upsert", "Active")
    assert spec["changeDetection"] == {"strategy": "Snapshot"}
    assert spec["delivery"] == DELIVERY
    assert spec["guards"] == {"onBreach": "AwaitApproval"}
    assert spec["deadLetters"] == {"storePayload": True, "retention": "30d", "maxEntries": 100_000}
    assert spec["history"] == {"successful": 10, "failed": 10}
    assert spec["runner"] == {"timeout": "1h", "retries": 3}
    assert not {"schedule", "primaryKey", "displayName", "description", "query"} & spec.keys()
    assert spec["mappings"] == SYNC["spec"]["mappings"]


def test_a_default_stands_beside_what_was_written(bench: Bench) -> None:
    spec = bench.create(change(SYNC, {"spec.delivery.timeout": "5s", "spec.schedule": {"cron": "0 6 * * *"}}))["spec"]
    assert spec["delivery"] == DELIVERY | {"timeout": "5s"}
    assert spec["schedule"] == {"cron": "0 6 * * *", "timeZone": "UTC", "catchUp": "Latest"}


def test_settings_of_a_connector_are_stored_as_written(bench: Bench) -> None:
    config = {"host": "db", "options": {"deep": [1, {"b": True}], "text": "x"}}
    assert bench.create(change(SOURCE, {"spec.config": config}))["spec"]["config"] == config


@pytest.mark.parametrize("manifest", [SYNC, MAXIMAL_SYNC, RUN], ids=["minimal", "maximal", "run"])
def test_applying_the_same_manifest_twice_changes_nothing(bench: Bench, manifest: Manifest) -> None:
    assert " created" in bench("apply", "-f", "-", input=manifest)
    assert " unchanged" in bench("apply", "-f", "-", input=manifest)
    server_side = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    bench(*server_side, input=manifest)
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    before = bench.get(kind, name)["metadata"]
    bench(*server_side, input=manifest)
    after = bench.get(kind, name)["metadata"]
    assert (after["resourceVersion"], after["generation"]) == (before["resourceVersion"], 1)


def test_two_teams_own_different_mappings_of_one_sync(bench: Bench) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    bench(*apply, "--field-manager=first", input=SYNC)
    addition = {
        **{key: SYNC[key] for key in ("apiVersion", "kind", "metadata")},
        "spec": {"mappings": [{"destination": "Phone", "source": "phone"}]},
    }
    bench(*apply, "--field-manager=second", input=addition)
    assert [m["destination"] for m in bench.get("retl", "accounts")["spec"]["mappings"]] == ["Id", "Name", "Phone"]
    bench(*apply, "--field-manager=first", input=change(SYNC, {"spec.mappings.1.source": "full_name"}))
    mappings = {m["destination"]: m.get("source") for m in bench.get("retl", "accounts")["spec"]["mappings"]}
    assert mappings == {"Id": "id", "Name": "full_name", "Phone": "phone"}


def test_fields_can_be_selected_by_values_that_were_never_written(bench: Bench) -> None:
    bench.create(SYNC)
    bench.create(change(SYNC, {"metadata.name": "paused", "spec.state": "Paused", "spec.destinationRef.name": "erp"}))

    def selected(selector: str) -> list[str]:
        return bench("get", "retl", "--field-selector", selector, "-o", "name").split()

    assert selected("spec.state=Active") == ["reverseetlsync.reverseetl.io/accounts"]
    assert selected("spec.state=Paused") == ["reverseetlsync.reverseetl.io/paused"]
    assert selected("spec.destinationRef.name=erp") == ["reverseetlsync.reverseetl.io/paused"]
    assert len(selected("spec.modelRef.name=active-accounts,spec.mode=upsert")) == 2
    assert "field label not supported" in bench.refusal("get", "retl", "--field-selector", "spec.object=Account")


def test_runs_are_selected_by_sync_and_phase(bench: Bench) -> None:
    bench.create(RUN)
    bench.create(change(RUN, {"metadata.name": "other-1", "spec.syncRef.name": "other"}))
    bench.patch("syncrun", "other-1", {"status": {"phase": "Running"}}, "--subresource=status")
    by_sync = bench("get", "syncruns", "--field-selector", "spec.syncRef.name=accounts", "-o", "name")
    by_phase = bench("get", "syncruns", "--field-selector", "status.phase=Running", "-o", "name")
    assert by_sync.split() == ["syncrun.reverseetl.io/accounts-202601312359"]
    assert by_phase.split() == ["syncrun.reverseetl.io/other-1"]


@pytest.mark.parametrize("short", [name for kind in KINDS.values() for name in kind.short_names])
def test_a_short_name_is_understood(dry_run: Bench, short: str) -> None:
    dry_run("get", short)


def test_the_category_shows_every_kind(bench: Bench) -> None:
    for name in ("a minimal source", "a minimal destination", "a model of a table", "a minimal sync", "a minimal run"):
        bench.create(ACCEPTED[name])
    shown = bench("get", "reverseetl", "-o", "name").split()
    assert sorted(line.partition(".")[0] for line in shown) == sorted(kind.singular for kind in KINDS.values())


def test_a_sync_shows_its_health_in_one_line(bench: Bench) -> None:
    bench.create(change(SYNC, {"spec.schedule": {"cron": "15 */4 * * *"}}))
    status = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Resolved",
                "message": "everything is there",
                "lastTransitionTime": "2026-01-31T12:00:00Z",
            }
        ],
        "lastRun": {"name": "accounts-202601311215", "phase": "Failed", "finishedAt": "2026-01-31T12:16:00Z"},
        "nextRunTime": "2026-01-31T16:15:00Z",
        "deadLetters": 3,
    }
    bench.patch("retl", "accounts", {"status": status}, "--subresource=status")
    (row,) = bench.table("retl")
    age = row.pop("AGE")
    assert age.endswith("s")
    assert row == {
        "NAME": "accounts",
        "READY": "True",
        "SCHEDULE": "15 */4 * * *",
        "STATE": "Active",
        "LAST-RUN": "Failed",
        "NEXT": "2026-01-31T16:15:00Z",
        "DEAD-LETTERS": "3",
    }
    (wide,) = bench.table("retl", "-o", "wide")
    assert (wide["DESTINATION"], wide["OBJECT"]) == ("crm", "Account")
    assert (wide["REASON"], wide["MESSAGE"]) == ("Resolved", "everything is there")


def test_a_run_shows_its_counts_in_one_line(bench: Bench) -> None:
    bench.create(change(RUN, {"spec.tick": "2026-01-31T23:59:00Z"}))
    counts = {"read": 100, "created": 7, "updated": 5, "invalid": 2, "rejected": 1, "unchanged": 85}
    status = {"phase": "Succeeded", "startedAt": "2020-01-01T00:00:00Z", "finishedAt": "2020-01-01T00:00:00Z"}
    bench.patch("syncrun", RUN["metadata"]["name"], {"status": {**status, "counts": counts}}, "--subresource=status")
    (row,) = bench.table("syncrun")
    shown = {name: row[name] for name in ("SYNC", "PHASE", "READ", "CREATED", "UPDATED", "INVALID", "REJECTED")}
    assert list(shown.values()) == ["accounts", "Succeeded", "100", "7", "5", "2", "1"]
    assert row["STARTED"].endswith("y") or row["STARTED"].endswith("d")
    (wide,) = bench.table("syncrun", "-o", "wide")
    assert (wide["MODE"], wide["TICK"]) == ("Sync", "2026-01-31T23:59:00Z")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("reverseetlsync.spec.mappings.cast", "Type that the value is turned into before it is sent."),
        ("retl.spec.guards.maxChanges", "Most records one run may create or update; a number or a percentage."),
        ("retl.spec.changeDetection", "How a run knows which rows to send."),
        ("syncrun.spec.cancel", "Stop the run; what was acknowledged is kept."),
        ("syncsource.spec.credentials", "The Secret that holds the login."),
    ],
)
def test_kubectl_explains_a_field(dry_run: Bench, field: str, words: str) -> None:
    assert words in " ".join(dry_run("explain", field).split())


def test_spec_and_status_are_written_apart(bench: Bench) -> None:
    created = bench.create(change(SYNC, {"status": {"deadLetters": 5}}))
    assert "status" not in created
    bench.patch("retl", "accounts", {"status": {"deadLetters": 5}, "spec": {"object": "Lead"}}, "--subresource=status")
    sync = bench.get("retl", "accounts")
    assert (sync["status"], sync["spec"]["object"]) == ({"deadLetters": 5}, "Account")
    assert sync["metadata"]["generation"] == 1
    bench.patch("retl", "accounts", {"spec": {"object": "Lead"}, "status": {"deadLetters": 6}})
    sync = bench.get("retl", "accounts")
    assert (sync["status"], sync["spec"]["object"]) == ({"deadLetters": 5}, "Lead")
    assert sync["metadata"]["generation"] == 2


def test_a_condition_stands_once_per_type(bench: Bench) -> None:
    bench.create(SYNC)
    ready = {"type": "Ready", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-31T12:00:00Z"}
    with pytest.raises(KubectlError, match="Duplicate value"):
        bench.patch("retl", "accounts", {"status": {"conditions": [ready, ready]}}, "--subresource=status")
    maybe = {**ready, "status": "Maybe"}
    with pytest.raises(KubectlError, match="Unsupported value"):
        bench.patch("retl", "accounts", {"status": {"conditions": [maybe]}}, "--subresource=status")


FROZEN = "a SyncRun cannot change, apart from cancel and approval; create another SyncRun"
FINAL = "a cancelled run cannot be taken up again; create another SyncRun"
TICKED = {"spec.tick": "2026-01-31T23:59:00Z"}


@pytest.mark.parametrize(
    ("start", "edit", "message"),
    [
        ({}, {"syncRef": {"name": "other"}}, FROZEN),
        ({}, {"mode": "Plan"}, FROZEN),
        ({"spec.mode": "Plan"}, {"mode": None}, FROZEN),
        ({}, {"fullRefresh": True}, FROZEN),
        ({"spec.fullRefresh": True}, {"fullRefresh": None}, FROZEN),
        ({}, {"tick": "2026-01-31T23:59:00Z"}, FROZEN),
        (TICKED, {"tick": None}, FROZEN),
        ({"spec.mode": "Replay"}, {"replay": {"payload": "Stored"}}, FROZEN),
        ({"spec.mode": "Replay", "spec.replay": {"codes": ["NULL_KEY"]}}, {"replay": None}, FROZEN),
        ({"spec.mode": "Replay", "spec.replay": {"codes": ["NULL_KEY"]}}, {"replay": {"payload": "Stored"}}, FROZEN),
        (TICKED, {"tick": "2026-02-01T23:59:00Z"}, FROZEN),
        ({"spec.cancel": True}, {"cancel": False}, FINAL),
        ({"spec.cancel": True}, {"cancel": None}, FINAL),
    ],
)
def test_a_run_cannot_become_another_run(
    bench: Bench, start: dict[str, Any], edit: dict[str, Any], message: str
) -> None:
    bench.create(change(RUN, start))
    with pytest.raises(KubectlError) as caught:
        bench.patch("syncrun", RUN["metadata"]["name"], {"spec": edit})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("start", "edit"),
    [
        ({}, {"cancel": True}),
        ({"spec.cancel": False}, {"cancel": True}),
        ({}, {"cancel": False}),
        ({}, {"approval": {"planHash": "abc"}}),
        ({"spec.approval": {"planHash": "abc"}}, {"approval": {"planHash": "def"}}),
        ({"spec.approval": {"planHash": "abc"}}, {"approval": None}),
        (TICKED, {"cancel": True, "approval": {"planHash": "abc"}}),
        ({}, {"fullRefresh": False}),
    ],
)
def test_a_run_can_be_cancelled_and_approved(bench: Bench, start: dict[str, Any], edit: dict[str, Any]) -> None:
    bench.create(change(RUN, start))
    bench.patch("syncrun", RUN["metadata"]["name"], {"spec": edit})
    spec = bench.get("syncrun", RUN["metadata"]["name"])["spec"]
    assert {field: spec.get(field) for field in edit} == edit
