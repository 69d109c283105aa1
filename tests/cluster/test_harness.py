"""The harness itself, on the real thing: if these fail, no other cluster test means anything."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import podfiles, podspec
from tests.cluster.api import Api
from tests.cluster.build import ETCD_VERSION, KUBERNETES_VERSION, build
from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.controlplane import COMPONENTS, ControlPlane
from tests.cluster.kubectl import Access, KubectlError
from tests.cluster.node import ProcessNode
from tests.cluster.podfiles import PodFiles
from tests.cluster.processes import Identity, wait_until

SLEEP = ["sleep", "300"]
TRAP_TERM = "trap 'echo asked to stop; exit 3' TERM; echo ready; while :; do sleep 0.05; done"


def pod(namespace: str, name: str, command: list[str], **more: Any) -> dict[str, Any]:
    """A pod of one container; `container` holds further fields of it, the rest goes to the pod's spec."""
    container = {"name": "main", "image": "none", "command": command} | more.pop("container", {})
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container]} | more
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def job(namespace: str, name: str, command: list[str], **more: Any) -> dict[str, Any]:
    template = {"spec": pod(namespace, name, command)["spec"]}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template} | more}


def apply(cluster: Cluster, manifest: dict[str, Any]) -> None:
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def secret(cluster: Cluster, namespace: str, name: str, **data: str) -> None:
    metadata = {"name": name, "namespace": namespace}
    apply(cluster, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})


def wait(cluster: Cluster, namespace: str, what: str, condition: str) -> dict[str, Any]:
    """Wait for a condition as kubectl writes it; the object after that."""
    answer: dict[str, Any] = json.loads(
        cluster.kubectl("wait", what, f"--for={condition}", "-n", namespace, "--timeout=30s", "-o", "json")
    )
    return answer


def wait_phase(cluster: Cluster, namespace: str, name: str, phase: str) -> dict[str, Any]:
    return wait(cluster, namespace, f"pod/{name}", f"jsonpath={{.status.phase}}={phase}")


def wait_reason(cluster: Cluster, namespace: str, name: str, reason: str) -> dict[str, Any]:
    path = "{.status.containerStatuses[0].state.waiting.reason}"
    return wait(cluster, namespace, f"pod/{name}", f"jsonpath={path}={reason}")


def terminated(of: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = of["status"]["containerStatuses"][0]["state"]["terminated"]
    return state


def running_pod_of(cluster: Cluster, namespace: str, job_name: str) -> str:
    """Name of the job's pod, once it runs."""
    select = ("-n", namespace, "-l", f"job-name={job_name}", "--field-selector", "status.phase=Running")
    names: list[str] = []

    def one_runs() -> bool:
        names[:] = cluster.kubectl("get", "pods", *select, "-o", "name").split()
        return bool(names)

    assert wait_until(one_runs, limit=30), f"no pod of job {job_name} runs"
    return names[0].removeprefix("pod/")


def test_the_versions_are_the_pinned_ones(cluster: Cluster, control_plane: ControlPlane) -> None:
    version = json.loads(cluster.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == KUBERNETES_VERSION == "v1.36.4"
    etcd = subprocess.run([build("etcd")["etcd"], "--version"], capture_output=True, text=True, check=True)
    assert f"etcd Version: {ETCD_VERSION.removeprefix('v')}" in etcd.stdout


def test_a_job_completes(cluster: Cluster, namespace: str) -> None:
    apply(cluster, job(namespace, "hello", ["echo", "hello"]))
    done = wait(cluster, namespace, "job/hello", "condition=Complete")
    assert done["status"]["succeeded"] == 1


def test_an_exit_code_and_the_termination_message_are_reported(cluster: Cluster, namespace: str) -> None:
    script = 'echo log; yes | head -c 5000 > "$0"; printf end >> "$0"; exit 7'
    apply(cluster, pod(namespace, "seven", ["sh", "-c", script, "/dev/termination-log"]))
    state = terminated(wait_phase(cluster, namespace, "seven", "Failed"))
    assert (state["exitCode"], state["reason"]) == (7, "Error")
    assert state["message"].endswith("end")
    assert len(state["message"]) == 4096
    assert state["startedAt"] <= state["finishedAt"]


def test_a_command_that_does_not_exist_is_a_start_error(cluster: Cluster, namespace: str) -> None:
    apply(cluster, pod(namespace, "typo", ["no-such-program"]))
    state = terminated(wait_phase(cluster, namespace, "typo", "Failed"))
    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert "no-such-program" in state["message"]


def test_volumes_and_environment_reach_the_process(cluster: Cluster, node: ProcessNode, namespace: str) -> None:
    secret(cluster, namespace, "warehouse", password="s3cret", user="etl")
    volumes: list[dict[str, Any]] = [
        {"name": "secret", "secret": {"secretName": "warehouse", "items": [{"key": "password", "path": "pg/pass"}]}},
        {"name": "info", "downwardAPI": {"items": [_field_item("spec", "metadata.annotations['run']")]}},
        {"name": "scratch", "emptyDir": {}},
    ]
    mounts = [
        {"name": "secret", "mountPath": "/etc/secret"},
        {"name": "info", "mountPath": "/etc/info"},
        {"name": "scratch", "mountPath": "/scratch", "subPath": "deep/down"},
    ]
    env: list[dict[str, Any]] = [
        {"name": "SPEC", "value": "/etc/info/spec"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        {"name": "GREETING", "value": "$(POD) has $(MEMORY)"},
    ]
    script = 'cat /etc/secret/pg/pass "$SPEC"; echo; echo "$1"; echo $user; touch /scratch/x; echo ${KUBECONFIG-none}'
    container = {
        "args": ["-c", script, "sh", "$(GREETING)"],
        "env": env,
        "envFrom": [{"secretRef": {"name": "warehouse"}}],
        "volumeMounts": mounts,
        "resources": {"limits": {"memory": "64Mi"}},
    }
    manifest = pod(namespace, "files", ["sh"], volumes=volumes, container=container)
    manifest["metadata"]["annotations"] = {"run": "daily\n"}
    apply(cluster, manifest)
    wait_phase(cluster, namespace, "files", "Succeeded")
    assert node.logs(namespace, "files") == "s3cretdaily\n\nfiles has 67108864\netl\nnone\n"


def test_a_directory_that_exists_only_through_its_mounts_holds_them(
    cluster: Cluster, node: ProcessNode, namespace: str
) -> None:
    for name in ("warehouse", "crm"):
        secret(cluster, namespace, name, password=name.upper())
    volumes: list[dict[str, Any]] = [{"name": n, "secret": {"secretName": n}} for n in ("warehouse", "crm")]
    mounts = [{"name": n, "mountPath": f"/etc/nobody-has-this/{n}"} for n in ("warehouse", "crm")]
    container = {
        "args": ["-c", 'cat "$ALL"/*/password'],
        "env": [{"name": "ALL", "value": "/etc/nobody-has-this"}],
        "volumeMounts": mounts,
    }
    apply(cluster, pod(namespace, "both", ["sh"], volumes=volumes, container=container))
    wait_phase(cluster, namespace, "both", "Succeeded")
    assert node.logs(namespace, "both") == "CRMWAREHOUSE"


def test_a_projected_token_speaks_for_the_pod_to_its_audience_alone(
    cluster: Cluster, node: ProcessNode, namespace: str
) -> None:
    projection = {"path": "token", "audience": "reverse-etl-state", "expirationSeconds": 600}
    volumes = [{"name": "state", "projected": {"sources": [{"serviceAccountToken": projection}]}}]
    container = {"volumeMounts": [{"name": "state", "mountPath": "/var/run/state"}]}
    apply(cluster, pod(namespace, "who", ["cat", "/var/run/state/token"], volumes=volumes, container=container))
    wait_phase(cluster, namespace, "who", "Succeeded")
    token = node.logs(namespace, "who")
    review = _review(cluster, token, "reverse-etl-state")
    assert review["authenticated"]
    assert review["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    assert review["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["who"]
    assert not _review(cluster, token, "something-else").get("authenticated")


async def test_a_projected_token_is_renewed_before_it_expires(
    cluster: Cluster, node: ProcessNode, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podfiles, "RENEW_AFTER", 0.001)  # of 600 s: 0.6 s
    projection = {"path": "token", "expirationSeconds": 600}
    volumes = [{"name": "state", "projected": {"sources": [{"serviceAccountToken": projection}]}}]
    apply(cluster, pod(namespace, "long", SLEEP, volumes=volumes))
    api = Api(Access.load(cluster.kubeconfig))
    files = PodFiles(api, wait_phase(cluster, namespace, "long", "Running"), tmp_path)
    await files.write()
    token = tmp_path / "volumes" / "state" / "token"
    first = token.read_text()
    renewing = asyncio.create_task(files.keep_tokens_fresh())
    changed = await asyncio.to_thread(wait_until, lambda: token.read_text() != first, 10)
    renewing.cancel()
    await api.aclose()
    assert changed


def test_out_of_memory_is_told_from_other_deaths(cluster: Cluster, node: ProcessNode, namespace: str) -> None:
    for name in ("greedy", "killed"):
        apply(cluster, pod(namespace, name, SLEEP))
        wait_phase(cluster, namespace, name, "Running")
    node.oom(namespace, "greedy")
    node.kill(namespace, "killed", signal.SIGKILL)
    states = [terminated(wait_phase(cluster, namespace, name, "Failed")) for name in ("greedy", "killed")]
    assert [(state["exitCode"], state["reason"]) for state in states] == [(137, "OOMKilled"), (137, "Error")]


def test_the_job_controller_counts_an_out_of_memory_but_not_an_eviction(
    cluster: Cluster, node: ProcessNode, namespace: str
) -> None:
    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    policy = {"backoffLimit": 0, "podFailurePolicy": {"rules": [disrupted]}}
    apply(cluster, job(namespace, "work", SLEEP, **policy))
    first = running_pod_of(cluster, namespace, "work")
    node.evict(namespace, first)
    assert wait_until(lambda: running_pod_of(cluster, namespace, "work") != first, limit=30)
    node.oom(namespace, running_pod_of(cluster, namespace, "work"))
    failed = wait(cluster, namespace, "job/work", "condition=Failed")
    assert {c["reason"] for c in failed["status"]["conditions"] if c["type"] == "Failed"} == {"BackoffLimitExceeded"}


def test_a_pod_waits_for_the_secret_of_its_environment(cluster: Cluster, namespace: str) -> None:
    reference = {"secretKeyRef": {"name": "late", "key": "password"}}
    container = {"env": [{"name": "PASSWORD", "valueFrom": reference}]}
    apply(cluster, pod(namespace, "early", ["sh", "-c", 'test "$PASSWORD" = here'], container=container))
    waiting = wait_reason(cluster, namespace, "early", "CreateContainerConfigError")
    assert waiting["status"]["phase"] == "Pending"
    assert 'secret "late" not found' in waiting["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    secret(cluster, namespace, "late", password="here")
    wait_phase(cluster, namespace, "early", "Succeeded")


def test_a_pod_waits_for_the_secret_of_a_volume_and_an_event_says_so(cluster: Cluster, namespace: str) -> None:
    volumes = [{"name": "files", "secret": {"secretName": "late"}}]
    apply(cluster, pod(namespace, "early", ["true"], volumes=volumes))
    wait_reason(cluster, namespace, "early", "ContainerCreating")
    events = cluster.kubectl("events", "-n", namespace, "--for", "pod/early")
    assert "FailedMount" in events
    assert 'secret "late" not found' in events
    secret(cluster, namespace, "late", password="here")
    wait_phase(cluster, namespace, "early", "Succeeded")


def test_a_deleted_pod_is_asked_to_stop_and_then_gone(cluster: Cluster, node: ProcessNode, namespace: str) -> None:
    apply(cluster, pod(namespace, "polite", ["sh", "-c", TRAP_TERM]))
    wait_phase(cluster, namespace, "polite", "Running")
    assert wait_until(lambda: "ready" in node.logs(namespace, "polite"), limit=10)
    cluster.kubectl("delete", "pod", "polite", "-n", namespace, "--timeout=20s")
    assert "asked to stop" in node.logs(namespace, "polite")


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(
    cluster: Cluster, node: ProcessNode, namespace: str
) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    apply(cluster, pod(namespace, "stubborn", ["sh", "-c", script], terminationGracePeriodSeconds=1))
    assert wait_until(lambda: bool(node.pids()), limit=10)
    wait_phase(cluster, namespace, "stubborn", "Running")
    [process] = [Identity.of(pid) for pid in node.pids()]
    cluster.kubectl("delete", "pod", "stubborn", "-n", namespace, "--timeout=20s")
    assert process is not None
    assert not process.alive()


def test_held_pods_stay_unschedulable_until_released(cluster: Cluster, node: ProcessNode, namespace: str) -> None:
    node.hold()
    try:
        apply(cluster, pod(namespace, "held", ["true"]))
        wait(cluster, namespace, "pod/held", "condition=PodScheduled=False")
    finally:
        node.release()
    wait_phase(cluster, namespace, "held", "Succeeded")


def test_a_node_that_was_lost_reports_its_pods_failed_when_it_returns(
    cluster: Cluster, node: ProcessNode, namespace: str
) -> None:
    apply(cluster, pod(namespace, "stranded", SLEEP))
    wait_phase(cluster, namespace, "stranded", "Running")
    node.lose()
    try:
        assert node.pids() == []
        phase = cluster.kubectl("get", "pod", "stranded", "-n", namespace, "-o", "jsonpath={.status.phase}")
        assert phase == "Running"
    finally:
        node.return_()
    state = terminated(wait_phase(cluster, namespace, "stranded", "Failed"))
    assert state["reason"] == "ContainerStatusUnknown"


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_node_goes_on_after_a_component_was_killed(
    cluster: Cluster, control_plane: ControlPlane, node: ProcessNode, namespace: str, component: str
) -> None:
    apply(cluster, pod(namespace, "before", ["sh", "-c", TRAP_TERM]))
    wait_phase(cluster, namespace, "before", "Running")
    control_plane.restart(component)
    apply(cluster, job(namespace, "after", ["true"]))
    wait(cluster, namespace, "job/after", "condition=Complete")
    node.kill(namespace, "before", signal.SIGTERM)
    assert terminated(wait_phase(cluster, namespace, "before", "Failed"))["exitCode"] == 3


def test_the_audit_log_says_who_did_what(cluster: Cluster, control_plane: ControlPlane, namespace: str) -> None:
    secret(cluster, namespace, "traced", key="value")
    writes = [
        event["user"]["username"]
        for event in control_plane.audit_events()
        if event["verb"] in ("create", "patch")
        and event["objectRef"].get("name") == "traced"
        and event["objectRef"].get("namespace") == namespace
    ]
    assert writes == ["admin"]


def test_no_process_is_left_after_a_stop_and_users_are_told_apart(tmp_path: Path) -> None:
    with ControlPlane(users={"ada": ["analysts"]}) as plane, ProcessNode(plane.kubeconfig) as node:
        plane.kubectl("apply", "-f", "-", input=json.dumps(pod("default", "sleeper", ["sh", "-c", "sleep 300; true"])))
        assert wait_until(lambda: bool(node.pids()), limit=20)
        processes = [Identity.of(pid) for pid in [*plane.pids.values(), *node.pids()]]
        with pytest.raises(KubectlError, match='User "ada" cannot list resource "secrets"'):
            plane.kubectl("get", "secrets", "--kubeconfig", str(plane.user_kubeconfig("ada")))
        directories = (plane.directory, node.directory)
    assert len(processes) == 4
    assert not any(process.alive() for process in processes if process)
    assert not any(directory.exists() for directory in directories)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_the_harness_is_interrupted(sign: signal.Signals, tmp_path: Path) -> None:
    script = (
        "import sys, json, pathlib; from tests.cluster.controlplane import ControlPlane\n"
        "with ControlPlane(directory=pathlib.Path(sys.argv[1])) as plane:\n"
        "    print(json.dumps(plane.pids), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as harness:
        assert harness.stdout is not None
        processes = [Identity.of(pid) for pid in json.loads(harness.stdout.readline()).values()]
        harness.send_signal(sign)
    assert len(processes) == 3
    assert wait_until(lambda: not any(process.alive() for process in processes if process), limit=10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "/P/v"),
        ("--config=/data/run.json", "--config=/P/v/run.json"),
        ("cat /data/a /data/b", "cat /P/v/a /P/v/b"),
        ("file:///data/x", "file:///P/v/x"),
        ("sqlite:////data/x.db", "sqlite:////P/v/x.db"),
        ("https://data/x", "https://data/x"),  # a host
        ("/database", "/database"),
        ("/var/data", "/var/data"),
        ("$HOME/data ${HOME}/data", "$HOME/data ${HOME}/data"),
        ("/data/inner/x", "/P/inner/x"),  # the longest mount path wins
    ],
)
def test_mount_paths_are_replaced_where_a_path_begins(text: str, expected: str) -> None:
    places = {"/data": Path("/P/v"), "/data/inner": Path("/P/inner")}
    assert podspec.replace_paths(text, places) == expected


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), ("1Ki", 1024), ("2", 2), ("1.5G", 1.5e9), ("1e3", 1000), ("3E", 3e18)]
)
def test_quantities_are_read_as_kubernetes_reads_them(text: str, number: float) -> None:
    assert float(podspec.quantity(text)) == number


def _field_item(path: str, field: str) -> dict[str, Any]:
    return {"path": path, "fieldRef": {"fieldPath": field}}


def _review(cluster: Cluster, token: str, audience: str) -> dict[str, Any]:
    spec = {"token": token, "audiences": [audience]}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    answer = cluster.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review))
    status: dict[str, Any] = json.loads(answer)["status"]
    return status
