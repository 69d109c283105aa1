"""The SyncRun of a tick and the Job of an attempt."""

import json
from datetime import timedelta
from typing import Any

import pytest

from retl.controller.check_job import check_job
from retl.controller.manifests import job, tick_run
from retl.controller.settings import RunnerSettings
from retl.resources import SyncRun
from retl.resources.marks import KUEUE_LABELS
from retl.resources.sync import Runner
from retl.runspec import RunSpec
from retl.runspec.check import CheckSpec
from retl.runspec.pod import RUN_SPEC_ANNOTATION, SECRETS_ANNOTATION, SECRETS_DIR, STATE_AUDIENCE
from tests.unit.controller.views import NOON, meta, run_spec

SETTINGS = RunnerSettings(image="runner:1", state_url="http://state:8081", pull_policy="IfNotPresent")

QUEUE, PRIORITY = KUEUE_LABELS


def built(
    secret: str | None = None,
    runner: Runner | None = None,
    settings: RunnerSettings = SETTINGS,
    of_run: dict[str, str] | None = None,
    of_sync: dict[str, str] | None = None,
) -> dict[str, Any]:
    run = meta("accounts-1").model_copy(update={"labels": of_run or {}})
    return job(run, run_spec(secret), runner or Runner(), settings, of_sync or {})


def container(of: dict[str, Any]) -> dict[str, Any]:
    [only] = of["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_the_run_of_a_tick_is_named_after_it_and_owned_by_its_sync() -> None:
    manifest = tick_run(meta("accounts"), NOON)
    run = SyncRun.read(manifest)
    assert (run.metadata.name, run.spec.tick, run.spec.sync_ref.name) == ("accounts-202605041200", NOON, "accounts")
    [owner] = run.metadata.owner_references
    assert (owner.kind, owner.uid, owner.controller) == ("ReverseETLSync", "accounts-uid", True)
    assert manifest["metadata"]["annotations"] == {"argocd.argoproj.io/ignore-resource-updates": "true"}


def test_a_job_is_one_pod_that_kubernetes_does_not_try_again() -> None:
    spec = built()["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["podReplacementPolicy"]) == (0, 3600, "Failed")
    disruption, permanent = spec["podFailurePolicy"]["rules"]
    assert (disruption["action"], disruption["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert permanent["action"] == "FailJob"
    assert permanent["onExitCodes"] == {"containerName": container(built())["name"], "operator": "In", "values": [2]}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in spec


def test_a_finished_job_can_be_given_a_time_to_live() -> None:
    settings = RunnerSettings(image="i", state_url="u", keep_for=timedelta(hours=1))
    assert built(settings=settings)["spec"]["ttlSecondsAfterFinished"] == 3600


def test_the_pod_satisfies_the_restricted_security_standard() -> None:
    pod = built()["spec"]["template"]["spec"]
    security = container(built())["securityContext"]
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


def test_the_runner_is_told_everything_through_its_annotation() -> None:
    template = built()["spec"]["template"]
    told = RunSpec.model_validate_json(template["metadata"]["annotations"][RUN_SPEC_ANNOTATION])
    assert told == run_spec()
    [volume] = [v for v in template["spec"]["volumes"] if v["name"] == "run"]
    [item] = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{RUN_SPEC_ANNOTATION}']"


def test_a_secret_of_both_sides_is_mounted_once_and_never_copied() -> None:
    manifest = built("login")
    volumes = [v["secret"]["secretName"] for v in manifest["spec"]["template"]["spec"]["volumes"] if "secret" in v]
    assert volumes == ["login"]
    mounts = [m["mountPath"] for m in container(manifest)["volumeMounts"]]
    assert mounts.count(f"{SECRETS_DIR}/login") == 1
    assert manifest["spec"]["template"]["metadata"]["annotations"][SECRETS_ANNOTATION] == "login"
    assert "secretKeyRef" not in json.dumps(manifest)


def test_the_token_speaks_to_the_state_service_alone() -> None:
    volumes = built()["spec"]["template"]["spec"]["volumes"]
    [token] = [v["projected"]["sources"][0]["serviceAccountToken"] for v in volumes if "projected" in v]
    assert (token["audience"], token["expirationSeconds"]) == (STATE_AUDIENCE, 3600)


@pytest.mark.parametrize(
    ("wanted", "requests", "limits"),
    [
        ({}, {"cpu": "250m", "memory": "512Mi"}, {"memory": "1Gi"}),
        ({"requests": {"memory": "4Gi"}}, {"cpu": "250m", "memory": "4Gi"}, {"memory": "4Gi"}),
        ({"limits": {"memory": "300Mi"}}, {"cpu": "250m"}, {"memory": "300Mi"}),
        ({"limits": {"cpu": "100m"}}, {"memory": "512Mi"}, {"cpu": "100m", "memory": "1Gi"}),
        (
            {"requests": {"cpu": "2"}, "limits": {"cpu": "4", "memory": "2Gi"}},
            {"cpu": "2"},
            {"cpu": "4", "memory": "2Gi"},
        ),
    ],
)
def test_a_default_never_stands_beside_a_wish(wanted: dict[str, Any], requests: Any, limits: Any) -> None:
    runner = Runner.model_validate({"resources": wanted})
    assert container(built(runner=runner))["resources"] == {"requests": requests, "limits": limits}


def test_children_carry_our_labels_and_nothing_else() -> None:
    manifest = built()
    labels = {
        "app.kubernetes.io/managed-by": "reverse-etl-operator",
        "reverseetl.io/sync": "accounts",
        "reverseetl.io/run": "accounts-1",
    }
    assert manifest["metadata"]["labels"] == manifest["spec"]["template"]["metadata"]["labels"] == labels
    assert manifest["metadata"]["name"] == "accounts-1-1"


@pytest.mark.parametrize(
    ("of_run", "of_sync", "queue"),
    [
        ({}, {}, {}),
        ({}, {QUEUE: "etl", "team": "growth"}, {QUEUE: "etl"}),
        ({QUEUE: "urgent"}, {QUEUE: "etl", PRIORITY: "low"}, {QUEUE: "urgent", PRIORITY: "low"}),
    ],
    ids=["none", "of the sync", "of the run first"],
)
def test_a_job_takes_over_the_labels_of_its_queue(
    of_run: dict[str, str], of_sync: dict[str, str], queue: dict[str, str]
) -> None:
    ours, manifest = built()["metadata"]["labels"], built(of_run=of_run, of_sync=of_sync)
    assert manifest["metadata"]["labels"] == ours | queue
    assert manifest["spec"]["template"]["metadata"]["labels"] == ours


def test_a_runner_is_told_the_ca_of_the_state_service_as_it_is_now() -> None:
    held = ["first"]
    settings = RunnerSettings(image="i", state_url="https://state:8081", state_ca=lambda: held[0])

    def told() -> dict[str, str]:
        return {each["name"]: each.get("value", "") for each in container(built(settings=settings))["env"]}

    assert told()["RETL_STATE_CA"] == "first"
    held[0] = "renewed"
    assert told()["RETL_STATE_CA"] == "renewed"
    assert "RETL_STATE_CA" not in {each["name"] for each in container(built())["env"]}


@pytest.mark.parametrize(
    ("networks", "told"), [(None, None), ((), ""), (("10.20.0.0/16", "fd00::/8"), "10.20.0.0/16,fd00::/8")]
)
def test_a_runner_is_told_which_private_networks_it_may_call(
    networks: tuple[str, ...] | None, told: str | None
) -> None:
    settings = RunnerSettings(image="i", state_url="u", private_networks=networks)
    check = check_job(
        meta("crm"),
        CheckSpec(kind="SyncDestination", namespace="growth", number=1, connection=run_spec("login").destination),
        settings,
    )
    for made in (built(settings=settings), check):
        environment = {each["name"]: each.get("value") for each in container(made)["env"]}
        assert environment.get("RETL_ALLOWED_PRIVATE_NETWORKS") == told
