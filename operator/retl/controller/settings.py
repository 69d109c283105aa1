"""What the controller is told at its start."""

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

FIELD_MANAGER = "retl-controller"
"""Owner of every field the controller writes; part of the contract with people who read managedFields."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a failed attempt rests before the next one."""

    first: timedelta = timedelta(seconds=10)
    longest: timedelta = timedelta(minutes=5)

    def pause(self, attempt: int) -> timedelta:
        """The pause after attempt 1, 2, 3 …: it doubles up to `longest`."""
        doublings = min(attempt - 1, 32)
        return min(self.longest, self.first * (1 << doublings))


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """The pod that executes a run.

    Attributes:
        image: container image with the engine.
        state_url: where the runner reaches the state service.
        pull_policy: imagePullPolicy; None leaves it to Kubernetes.
        command: what the container executes.
        service_account: of the sync's namespace; its projected token speaks for that namespace to the state service.
        keep_for: how long a finished Job stays; None keeps it as long as its SyncRun.
        private_networks: that runners may call over HTTP, of all that are not public; None leaves it to the runner.
        state_ca: the certificates, in PEM, one of which signed the state service's; asked for each pod, because they
            may be replaced. None: those that the image trusts.
    """

    image: str
    state_url: str
    pull_policy: str | None = None
    command: tuple[str, ...] = ("retl", "execute")
    service_account: str = "default"
    keep_for: timedelta | None = None
    private_networks: tuple[str, ...] | None = None
    state_ca: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """How controllers agree on who works.

    Attributes:
        namespace, name: of the Lease.
        identity: of this process; never the same for two of them.
        duration: how long a record that does not change is respected.
        deadline: a holder that could not renew for this long stops; shorter than `duration`.
        renewal: how often a holder renews.
        look: how often the others look.
    """

    namespace: str
    name: str = FIELD_MANAGER
    identity: str = field(default_factory=lambda: f"{socket.gethostname()}-{secrets.token_hex(4)}")
    duration: timedelta = timedelta(seconds=15)
    deadline: timedelta = timedelta(seconds=10)
    renewal: timedelta = timedelta(seconds=2)
    look: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class ApiRate:
    """How many requests to the API server the work may make. A run takes about eight, its start four.

    Attributes:
        per_second: in the long run.
        burst: at once, after a pause.
    """

    per_second: float = 500.0
    burst: int = 1_000


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Everything that `retl controller` can be told.

    Attributes:
        namespaces: where to look; empty means everywhere.
        kubeconfig, context: how to reach the API server from outside; both None means: from inside the cluster if this
            is a pod, else as kubectl would.
        metrics_port, health_port: 0 listens nowhere.
        metrics_max_syncs: so many syncs have series of their own in the metrics.
        lease: by which one of several controllers is chosen; None works without asking.
        workers: reconciles under way at the same time.
        api_rate: bounds of the requests to the API server.
        request_timeout: longest wait for one answer of the API server.
        state_token_file: the controller's own token for the state service, to read catalogs and progress; None reads
            neither.
    """

    runner: RunnerSettings
    namespaces: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    context: str | None = None
    metrics_port: int = 8080
    health_port: int = 8081
    metrics_max_syncs: int = 20_000
    retry: RetryPolicy = RetryPolicy()
    lease: LeaseSettings | None = None
    workers: int = 8
    api_rate: ApiRate = ApiRate()
    request_timeout: timedelta = timedelta(seconds=15)
    state_token_file: Path | None = None

    @property
    def identity(self) -> str:
        """Of this process among all controllers."""
        return self.lease.identity if self.lease else socket.gethostname()
