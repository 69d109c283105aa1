"""The processes of a cluster, controller, API pod and runner: options in, settings out, only its own part imported."""

import logging
import shlex
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_CHATTY = ("aiohttp.access", "alembic.runtime.plugins", "httpx", "kopf.objects", "uvicorn.error")
"""They log every request or event at level info."""
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class LogLevel(StrEnum):
    """How much the process says."""

    debug = "debug"
    info = "info"
    warning = "warning"


Log = Annotated[LogLevel, typer.Option("--log-level", envvar="RETL_LOG_LEVEL", help="Least level that is logged.")]
State = Annotated[
    str | None,
    typer.Option("--state", metavar="URL", envvar="RETL_STATE_DATABASE_URL", help="State database."),
]
StateUrlFile = Annotated[
    Path | None, typer.Option("--state-url-file", metavar="FILE", help="Or a file that holds its URL.")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="How to reach the API server from outside.")
]


def controller(
    runner_image: Annotated[
        str, typer.Option("--runner-image", envvar="RETL_RUNNER_IMAGE", help="Container image of the runner.")
    ],
    state_url: Annotated[
        str,
        typer.Option(
            "--state-url", metavar="URL", envvar="RETL_STATE_URL", help="Where runners reach the state service."
        ),
    ],
    namespaces: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Look only here; may be repeated. Default: everywhere."),
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")] = None,
    metrics_port: Annotated[int, typer.Option("--metrics-port", min=0, max=65535, help="0 listens nowhere.")] = 8080,
    health_port: Annotated[int, typer.Option("--health-port", min=0, max=65535, help="0 listens nowhere.")] = 8081,
    metrics_max_syncs: Annotated[
        int,
        typer.Option("--metrics-max-syncs", min=0, help="So many syncs have series of their own in the metrics."),
    ] = 20_000,
    leader_elect: Annotated[
        bool | None,
        typer.Option(
            "--leader-elect/--no-leader-elect",
            help="Work only while a Lease says so; others stand by. Default: in a pod, or with --lease-namespace.",
        ),
    ] = None,
    lease_namespace: Annotated[
        str | None,
        typer.Option(
            "--lease-namespace",
            metavar="NAME",
            envvar="RETL_LEASE_NAMESPACE",
            help="Where the Lease is. Default: the pod's own namespace.",
        ),
    ] = None,
    lease_name: Annotated[
        str,
        typer.Option("--lease-name", help="Of the Lease; controllers of different namespaces need different ones."),
    ] = "retl-controller",
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Reconciles at the same time.")] = 8,
    api_rate: Annotated[
        float, typer.Option("--api-rate", min=1, help="Most requests to the API server a second, in the long run.")
    ] = 500.0,
    api_burst: Annotated[int, typer.Option("--api-burst", min=1, help="Most of them at once, after a pause.")] = 1000,
    runner_command: Annotated[
        str, typer.Option("--runner-command", help="What the runner's container executes.")
    ] = "retl execute",
    runner_service_account: Annotated[
        str, typer.Option("--runner-service-account", help="Of the sync's namespace; it speaks for that namespace.")
    ] = "default",
    runner_pull_policy: Annotated[str | None, typer.Option("--runner-pull-policy", help="imagePullPolicy.")] = None,
    job_ttl: Annotated[
        str | None, typer.Option("--job-ttl", metavar="DURATION", help="How long a finished Job stays, such as 1h.")
    ] = None,
    allowed_private_networks: Annotated[
        str | None,
        typer.Option(
            "--allowed-private-networks",
            metavar="CIDR,…",
            help="Of networks that are not public, those that runners may call over HTTP; empty: none. "
            "Default: all but link-local ones.",
        ),
    ] = None,
    state_token_file: Annotated[
        Path | None,
        typer.Option(
            "--state-token-file",
            metavar="FILE",
            envvar="RETL_STATE_TOKEN_FILE",
            help="Token to read catalogs and progress from the state service with. Default: they are not read.",
        ),
    ] = None,
    state_ca_file: Annotated[
        Path | None,
        typer.Option(
            "--state-ca-file",
            metavar="FILE",
            envvar="RETL_STATE_CA_FILE",
            help="CA in PEM of the state service's certificate, also for runners. Default: those of the system.",
        ),
    ] = None,
    log_level: Log = LogLevel.info,
) -> None:
    """Turn due ticks into runs, and runs into Jobs."""
    import asyncio

    from retl.controller.apiserver.access import lease_settings
    from retl.controller.settings import ApiRate, ControllerSettings, RunnerSettings
    from retl.controller.shell import run_controller
    from retl.destinations.web.egress import networks
    from retl.state.trust import CaFile

    private = None
    if allowed_private_networks is not None:
        private = tuple(map(str, networks(allowed_private_networks, "--allowed-private-networks")))

    runner = RunnerSettings(
        image=runner_image,
        state_url=state_url,
        pull_policy=runner_pull_policy,
        command=tuple(shlex.split(runner_command)),
        service_account=runner_service_account,
        keep_for=_duration("--job-ttl", job_ttl),
        private_networks=private,
        state_ca=CaFile(state_ca_file, "--state-ca-file").text if state_ca_file else None,
    )
    _start_logging(log_level)
    settings = ControllerSettings(
        runner=runner,
        namespaces=tuple(namespaces or ()),
        kubeconfig=kubeconfig,
        context=context,
        metrics_port=metrics_port,
        health_port=health_port,
        metrics_max_syncs=metrics_max_syncs,
        lease=lease_settings(leader_elect, lease_namespace, lease_name),
        workers=workers,
        api_rate=ApiRate(api_rate, api_burst),
        state_token_file=state_token_file,
    )
    asyncio.run(run_controller(settings))


def api(
    state: State = None,
    state_url_file: StateUrlFile = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - of a pod
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port for people.")] = 8080,
    internal_port: Annotated[int, typer.Option("--internal-port", min=0, max=65535, help="Port for runners.")] = 8081,
    state_tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--state-tls-cert",
            metavar="FILE",
            envvar="RETL_STATE_TLS_CERT",
            help="Certificate of the port for runners, in PEM; read again when it is replaced. Default: no TLS.",
        ),
    ] = None,
    state_tls_key: Annotated[
        Path | None,
        typer.Option("--state-tls-key", metavar="FILE", envvar="RETL_STATE_TLS_KEY", help="And its key."),
    ] = None,
    kubeconfig: Kubeconfig = None,
    controller_account: Annotated[
        str | None,
        typer.Option(
            "--controller-account",
            metavar="NAMESPACE/NAME",
            envvar="RETL_CONTROLLER_ACCOUNT",
            help="ServiceAccount that may read catalogs and progress of all namespaces.",
        ),
    ] = None,
    keys_namespace: Annotated[
        str | None,
        typer.Option(
            "--keys-namespace",
            metavar="NAME",
            envvar="RETL_KEYS_NAMESPACE",
            help="Where API keys are kept. Default: the pod's own namespace; outside of a pod, none are accepted.",
        ),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Requests of one caller a second.")] = 20.0,
    burst: Annotated[int, typer.Option("--burst", min=1, help="And at once, after a pause.")] = 100,
    cors_origins: Annotated[
        list[str] | None,
        typer.Option("--cors-origin", metavar="URL", help="Pages of this origin may ask; may be repeated."),
    ] = None,
    log_level: Log = LogLevel.info,
) -> None:
    """Serve the state service and the REST API."""
    from retl.cli.stores import read_url
    from retl.rest.certificate import files_of
    from retl.rest.serve import ApiSettings, run_api

    _start_logging(log_level)
    settings = ApiSettings(
        state_url=read_url(state, state_url_file),
        host=host,
        port=port,
        internal_port=internal_port,
        kubeconfig=kubeconfig,
        controller_account=controller_account,
        keys_namespace=keys_namespace,
        rate=rate,
        burst=burst,
        cors_origins=tuple(cors_origins or ()),
        certificate=files_of(state_tls_cert, state_tls_key),
    )
    run_api(settings)


def migrate(
    state: State = None,
    state_url_file: StateUrlFile = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to try while the database cannot be used.")
    ] = "60s",
) -> None:
    """Bring the state database to the schema of this version, as all that opens it does.

    A cluster's operator is upgraded only after this has succeeded. Exit codes: 0 it has that schema, 1 it could not be
    used, 2 it was written by a newer version.
    """
    from retl.cli import migrating
    from retl.cli.stores import read_url

    patience = _duration("--wait", wait)
    assert patience is not None
    migrating.migrate(read_url(state, state_url_file), patience)


def execute(log_level: Log = LogLevel.info) -> None:
    """Execute one run in a Job's pod."""
    import asyncio

    from retl.runner.execute import execute as execute_run

    _start_logging(log_level)
    raise typer.Exit(asyncio.run(execute_run()))


def _duration(option: str, text: str | None) -> timedelta | None:
    from retl.errors import InvalidInput
    from retl.resources.fields import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from None


def _start_logging(level: LogLevel) -> None:
    logging.basicConfig(level=level.upper(), format=LOG_FORMAT)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
