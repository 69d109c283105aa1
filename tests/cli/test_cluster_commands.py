"""Commands on a cluster, as far as they need none: what is meant, what is refused, and what is made of objects."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from retl.cli.cluster import edits, options, runs, upcoming
from retl.cli.cluster.access import Reach
from retl.cli.cluster.advice import Commands
from retl.resources.owners import owner
from retl.resources.source import LastCheck
from retl.resources.sync import Schedule
from retl.resources.views import Run
from retl.runspec import pod
from tests.cli.cluster_objects import NOW, run
from tests.cli.retl_command import retl

ARGO = "argocd.argoproj.io/tracking-id"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io"


def test_the_variable_of_the_state_service_is_the_runners() -> None:
    assert options.ENV_STATE_URL == pod.ENV_STATE_URL


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["run"], "SYNC names a sync of a cluster, -f the files of syncs to run here, without a cluster: give one"),
        (["run", "accounts", "-f", "a.yaml"], "give one of them, not both"),
        (["plan"], "-f the files of syncs to plan here"),
        (["next"], "give one of them"),
        (["dlq", "replay"], "give one of them"),
        (["run", "accounts", "--secrets-dir", "s"], "run: --secrets-dir is for the syncs of files (-f)"),
        (["run", "-f", "a.yaml", "--wait"], "run: --wait is for a sync of a cluster (SYNC)"),
        (["plan", "-f", "a.yaml", "--state-url", "x"], "plan: --state-url is for a sync of a cluster (SYNC)"),
        (["dlq", "replay", "-f", "a.yaml", "--context", "x"], "replay: --context is for a sync of a cluster"),
        (["dlq", "list", "accounts", "--state", "sqlite:///x"], "--state names a state database, not a cluster's"),
        (["run", "-f", "a.yaml", "-o", "yaml"], "-o yaml: is for the objects of a cluster"),
        (["status", "--kubeconfig", "none"], "cannot tell which cluster is meant: none: there is no such file"),
        (["status"], "cannot tell which cluster is meant: "),
        (["dlq", "stats", "--cluster"], "cannot tell which cluster is meant: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_says_what_is_missing_or_too_much(tmp_path: Path, args: list[str], says: str) -> None:
    answer = retl(*args, cwd=tmp_path, HOME=str(tmp_path), KUBECONFIG="")
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err


@pytest.mark.parametrize(
    ("config", "code", "says"),
    [
        ({"clusters": [], "contexts": [], "users": []}, 2, "cannot tell which cluster is meant"),
        ([1, 2], 2, "cannot tell which cluster is meant"),
        (
            {
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "contexts": [{"name": "dev", "context": {"cluster": "c"}}],
                "current-context": "dev",
            },
            1,
            "context dev (http://127.0.0.1:1): the API server does not answer: ",
        ),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_named(tmp_path: Path, config: Any, code: int, says: str) -> None:
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    answer = retl("status", "--kubeconfig", "config", cwd=tmp_path)
    assert (answer.code, says in answer.err) == (code, True), answer


def test_completion_says_nothing_where_there_is_no_cluster(tmp_path: Path) -> None:
    asked = {"_RETL_COMPLETE": "complete_bash", "COMP_WORDS": "retl status a", "COMP_CWORD": "2"}
    answer = retl(cwd=tmp_path, HOME=str(tmp_path), KUBECONFIG="", **asked)
    assert (answer.out.strip(), answer.err) == ("", "")


@pytest.mark.parametrize(
    ("labels", "annotations", "keeper"),
    [
        ({}, {ARGO: "shop:reverseetl.io/ReverseETLSync:growth/accounts"}, "Argo CD application shop"),
        ({}, {ARGO: "shop:reverseetl.io/ReverseETLSync:growth/orders"}, None),
        ({f"{KUSTOMIZE}/name": "apps", f"{KUSTOMIZE}/namespace": "flux"}, {}, "Flux Kustomization flux/apps"),
        ({f"{KUSTOMIZE}/name": "apps"}, {}, None),
        (
            {"helm.toolkit.fluxcd.io/name": "apps", "helm.toolkit.fluxcd.io/namespace": "flux"},
            {},
            "Flux HelmRelease flux/apps",
        ),
        ({"app.kubernetes.io/managed-by": "Helm"}, {"meta.helm.sh/release-name": "shop"}, "Helm release shop"),
        ({"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "shop"}, {}, None),
    ],
)
def test_an_object_that_a_tool_keeps_is_known_by_marks_of_its_own(
    labels: dict[str, str], annotations: dict[str, str], keeper: str | None
) -> None:
    found = owner(
        {
            "apiVersion": "reverseetl.io/v1alpha1",
            "kind": "ReverseETLSync",
            "metadata": {"name": "accounts", "namespace": "growth", "labels": labels, "annotations": annotations},
        }
    )
    assert (found.name if found else None) == keeper


@pytest.mark.parametrize(
    ("of", "code"),
    [
        (run(phase="Succeeded"), 0),
        (run(phase="Succeeded", deadLetters=2), 3),
        (run(phase="Failed", reason="SourceFailed"), 1),
        (run(phase="Failed", reason="InvalidSpec"), 2),
        (run(phase="Cancelled", reason="Cancelled"), 1),
        (run(phase="AwaitingApproval", reason="GuardBreached"), 4),
    ],
    ids=lambda value: f"{value.phase} {value.reason}" if isinstance(value, Run) else None,
)
def test_a_run_of_a_cluster_exits_as_a_local_one_does(of: Run, code: int) -> None:
    assert runs.code_of(of) == code


def test_commands_to_type_reach_the_same_cluster() -> None:
    commands = Commands(Reach(Path("my config"), "prod", "growth"), "growth")
    assert commands.retl("why", "accounts") == "retl why accounts --kubeconfig 'my config' --context prod -n growth"
    assert commands.kubectl("get", "pods") == "kubectl get pods --kubeconfig 'my config' --context prod"


SCHEDULE = {
    "cron": "0 * * * *",
    "timeZone": "Europe/Vienna",
    "jitter": "10m",
    "blackouts": [{"cron": "0 15 * * *", "duration": "1h", "reason": "backup"}],
}


def test_ticks_to_come_are_told_with_jitter_and_blackouts() -> None:
    of = upcoming.Scheduled("accounts", "Active", Schedule.model_validate(SCHEDULE), uid="some-uid")
    found = list(upcoming.ticks(of, NOW, 3))
    assert [tick.at - NOW for tick in found] == [timedelta(hours=n) for n in (1, 2, 3)]
    assert len({tick.start - tick.at for tick in found}) == 1
    assert timedelta() <= found[0].start - found[0].at < timedelta(minutes=10)
    assert [tick.blackout for tick in found] == [None, "backup", None]
    shown = upcoming.text(of, found, NOW).splitlines()
    assert shown[0] == "accounts: 0 * * * * in Europe/Vienna"
    assert shown[3].startswith("Mon 2026-03-02 15:00 CET  2026-03-02T14:00:00Z  in 2h")
    assert shown[3].endswith("Skipped: backup")


def test_the_ticks_of_a_file_are_shown_without_a_cluster(tmp_path: Path) -> None:
    sync = {
        "apiVersion": "reverseetl.io/v1alpha1",
        "kind": "ReverseETLSync",
        "metadata": {"name": "accounts"},
        "spec": {
            "modelRef": {"name": "accounts"},
            "destinationRef": {"name": "crm"},
            "object": "Account",
            "mappings": [{"source": "id", "destination": "id", "key": True}],
            "schedule": SCHEDULE,
        },
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(sync))
    shown = retl("next", "-f", "a.yaml", "--count", "3", cwd=tmp_path).out.splitlines()
    assert shown[1] == "each starts up to 10m later, as jitter says"
    assert len(shown) == 6
    told = retl("next", "-f", "a.yaml", "--count", "24", "-o", "json", cwd=tmp_path).object
    assert [tick["blackout"] for tick in told["ticks"]].count("backup") == 1
    sync["spec"]["schedule"] = {"cron": "0 0 30 2 *"}  # type: ignore[index]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(sync))
    never = retl("next", "-f", "a.yaml", cwd=tmp_path)
    assert (never.code, "accounts: spec.schedule.cron: '0 0 30 2 *' never fires" in never.err) == (2, True), never


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"succeeded": True, "server": "PostgreSQL 18.1", "objects": 2, "fields": 9}, "; 2 objects with 9 fields"),
        ({"succeeded": True}, "SyncDestination crm: it can be used"),
        (
            {"succeeded": False, "reason": "DestinationAuth", "message": "401"},
            "the check failed: DestinationAuth: 401;",
        ),
    ],
)
def test_what_a_check_found_is_one_sentence(found: dict[str, Any], says: str) -> None:
    last = LastCheck.model_validate({"number": 1, "asked": "x", "finishedAt": NOW} | found)
    assert says in edits.check_text("SyncDestination", "crm", last, 200)
