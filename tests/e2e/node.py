"""One Kubernetes node in a sandbox: containerd, kubelet, kube-scheduler, kube-proxy and DNS, beside a control plane.

with RealCluster(directory) as cluster:
    cluster.load(image)
    cluster.kubectl("get", "nodes")
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.cluster.build import build, cache_directory
from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.processes import Program
from tests.e2e.dns import DOMAIN
from tests.e2e.images import PAUSE, PROJECT, Image
from tests.e2e.machine import CommandError, run
from tests.e2e.sandbox import CGROUP, NODE, PODS, SERVICES, Sandbox

NAME = "node1"
DNS_ADDRESS = "10.245.2.10"
_KUBELET, _SCHEDULER, _PROXY = f"system:node:{NAME}", "system:kube-scheduler", "system:kube-proxy"
_DNS = "retl-e2e-dns"
_USERS = {_KUBELET: ["system:nodes"], _SCHEDULER: ["retl-e2e"], _PROXY: ["retl-e2e"], _DNS: ["retl-e2e"]}
_RUNTIME_SOCKET = "/run/containerd/containerd.sock"  # below a /run that is the sandbox's own
_VOLUME = "/run/volume"


class RealCluster:
    """A one-node cluster that lives as long as the `with` block, or from `start()` to `stop()`.

    Args:
        directory: private work directory, removed at the end; on a file system that takes overlayfs.
        leave_up: it outlives this Python process; `python -m tests.e2e down` stops it.
    """

    def __init__(self, directory: Path, *, leave_up: bool = False) -> None:
        self.sandbox = Sandbox(directory, leave_up=leave_up)
        self._directory = directory
        # Kept for the next cluster, to which this one then looks like a node that was switched off.
        self._images = cache_directory() / "e2e" / "containerd"
        self._leave_up = leave_up
        self._plane: ControlPlane | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def plane(self) -> ControlPlane:
        assert self._plane is not None, "the cluster has not been started"
        return self._plane

    @property
    def kubectl(self) -> Kubectl:
        return self.plane.kubectl

    def start(self) -> Self:
        """Build what is missing, start everything, return when the node takes pods; on failure nothing is left.

        Raises:
            BuildError, CommandError, ProcessError: what could not be made or started, with the end of its log.
        """
        binaries = build("kube-scheduler", "kubelet", "kube-proxy")
        try:
            self.sandbox.start()
            runtime = self._start_runtime()
            self._start_control_plane()
            runtime.wait_ready(lambda: _succeeds(*self.sandbox.prefix, "ctr", "version"))
            self._start_node(binaries)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything and remove every trace. May be called twice."""
        self.sandbox.stop()

    def load(self, *images: Image) -> None:
        """Make images known to the node, under their own names. Those it has from an earlier time cost nothing."""
        for image in images:
            known = self._images / f"{image.archive.stem}.id"
            if not (known.exists() and known.read_text() == image.id):
                self.sandbox.run("ctr", "-n", "k8s.io", "images", "import", image.archive)
                known.write_text(image.id)

    def tag(self, image: str, name: str) -> None:
        """Give an image that the node has another name."""
        self.sandbox.run("ctr", "-n", "k8s.io", "images", "tag", "--force", image, name)

    def offer_volume(self) -> None:
        """A volume for whoever claims one first; elsewhere clusters have somebody who makes them."""
        self.sandbox.run("mkdir", _VOLUME)
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump(_volume()))

    def _start_control_plane(self) -> None:
        directory = self._directory / "plane"
        directory.mkdir()
        certificate, key = self._kubelet_client()
        self._plane = ControlPlane(
            users=_USERS,
            directory=directory,
            leave_up=self._leave_up,
            address=NODE,
            prefix=self.sandbox.prefix,
            flags={
                "kube-apiserver": [
                    f"--service-cluster-ip-range={SERVICES}",
                    "--endpoint-reconciler-type=lease",
                    "--enable-admission-plugins=NodeRestriction",
                    "--kubelet-preferred-address-types=InternalIP",
                    f"--kubelet-client-certificate={certificate}",
                    f"--kubelet-client-key={key}",
                ],
                "kube-controller-manager": ["--controllers=*"],
            },
        )
        self._plane.start()

    def _kubelet_client(self) -> tuple[Path, Path]:
        """A certificate by which the kubelet knows the API server (for logs and exec), and its key."""
        certificate, key = self._directory / "kubelet-client.crt", self._directory / "kubelet-client.key"
        options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
        subject = "/O=system:masters/CN=kube-apiserver-kubelet-client"
        run("openssl", "req", *options, "-subj", subject, "-keyout", key, "-out", certificate)
        return certificate, key

    def _start_runtime(self) -> Program:
        networks = self._directory / "networks"
        networks.mkdir()
        (networks / "10-pods.conflist").write_text(json.dumps(_pod_network()))
        settings = self._write("containerd.toml", _containerd_settings(self._images, networks))
        program = self.sandbox.program("containerd", "containerd", "--config", settings)
        program.start()
        return program

    def _start_node(self, binaries: dict[str, Path]) -> None:
        kubelet = self.sandbox.program(
            "kubelet",
            binaries["kubelet"],
            f"--config={self._write('kubelet.yaml', _kubelet_settings(self._directory))}",
            f"--kubeconfig={self.plane.user_kubeconfig(_KUBELET)}",
            f"--root-dir={self._directory / 'kubelet'}",
            f"--cert-dir={self._directory / 'kubelet-pki'}",
            f"--hostname-override={NAME}",
            f"--node-ip={NODE}",
        )
        scheduler = self.sandbox.program(
            "kube-scheduler",
            binaries["kube-scheduler"],
            f"--kubeconfig={self.plane.user_kubeconfig(_SCHEDULER)}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        )
        proxy = self.sandbox.program(
            "kube-proxy",
            binaries["kube-proxy"],
            f"--config={self._write('kube-proxy.yaml', _proxy_settings(self.plane.user_kubeconfig(_PROXY)))}",
            f"--hostname-override={NAME}",
        )
        for program in (kubelet, scheduler, proxy, self._dns()):
            program.start()
        kubelet.wait_ready(self._node_is_ready)
        proxy.wait_ready(lambda: f"{DNS_ADDRESS}/32" in self.sandbox.run("iptables-save", "-t", "nat"))

    def _dns(self) -> Program:
        """Service names for pods: a process on the node, behind the Service that pods everywhere find it by."""
        self.kubectl("create", "clusterrolebinding", _DNS, "--clusterrole=view", f"--user={_DNS}")
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(_dns_service()))
        command = ("env", f"PYTHONPATH={PROJECT}", sys.executable, "-m", "tests.e2e.dns", NODE)
        return self.sandbox.program("dns", *command, self.plane.user_kubeconfig(_DNS))

    def _node_is_ready(self) -> bool:
        try:
            self.kubectl("wait", "--for=condition=Ready", f"node/{NAME}", "--timeout=5s")
        except KubectlError:
            return False
        return True

    def _write(self, name: str, settings: str | dict[str, Any]) -> Path:
        path = self._directory / name
        path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings))
        return path


def _pod_network() -> dict[str, Any]:
    """Each pod has a link of its own to the node, which routes: no bridge, and nothing leaves the machine."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/pod-addresses",
    }
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": addresses}]
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}


def _dns_service() -> list[dict[str, Any]]:
    place = {"name": "kube-dns", "namespace": "kube-system"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    service = {"clusterIP": DNS_ADDRESS, "ports": ports}
    belongs = {"kubernetes.io/service-name": "kube-dns"}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": service},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**place, "labels": belongs},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [NODE]}],
            "ports": ports,
        },
    ]


def _volume() -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "volume"},
        "spec": {
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": _VOLUME},  # unlike a hostPath, it is given to a pod's fsGroup
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def _containerd_settings(root: Path, networks: Path) -> str:
    # restrict_oom_score_adj: without it a machine that lacks CAP_SYS_RESOURCE cannot start a container.
    return f"""\
version = 2
root = "{root}"
[grpc]
  address = "{_RUNTIME_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{networks}"
"""


def _kubelet_settings(directory: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(directory / "kubelet-client.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "maxOpenFiles": 20_000,  # a million, the default, is more than a machine without CAP_SYS_RESOURCE may ask for
        "containerRuntimeEndpoint": f"unix://{_RUNTIME_SOCKET}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": DOMAIN,
        "resolvConf": "",
        "podLogsDir": str(directory / "pods"),
        "volumePluginDir": str(directory / "volume-plugins"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,  # images come from here only, none may be thrown away
        "imageGCLowThresholdPercent": 99,
    }


def _proxy_settings(kubeconfig: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "bindAddress": NODE,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        # Zero leaves the machine's connection tracking as it is.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _succeeds(*command: str) -> bool:
    try:
        run(*command)
    except CommandError:
        return False
    return True
