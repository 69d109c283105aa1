"""`retl execute`: the process in a runner's pod.

Everything comes in by the contract of `runspec/pod.py`, and the result goes out as the termination message, whatever
happens: the controller reads it even while the API pod is down. There is no access to the Kubernetes API here.
"""

import asyncio
import os
import signal
import socket
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from retl.engine import pipeline
from retl.errors import InvalidInput, RetlError
from retl.resources.problems import describe
from retl.runner.check import check
from retl.runner.connect import connectors
from retl.runner.events import LoggedProgress, log
from retl.runspec import pod
from retl.runspec.check import CheckResult, CheckSpec
from retl.runspec.result import MESSAGE_MAX, RunResult
from retl.runspec.spec import RunSpec
from retl.state.http import PATIENCE, HttpStateStore

S = TypeVar("S", bound=BaseModel)

CATALOG_PATIENCE = timedelta(seconds=60)
"""How long a check tries to hand in what it found; without that it has still found out whether it can log in."""
LAST_PATIENCE = timedelta(seconds=20)
"""How long a run that is told to stop waits for a silent state service: the rest of its pod's grace is for batches in
flight. What could not be recorded was announced before it was sent, and the next attempt looks at it."""
TERMINATION_MESSAGE_MAX = 4096
"""Bytes that the kubelet keeps of a termination message."""
CUT = 64
"""Characters by which a message that does not fit is shortened, again and again."""


def main() -> int:
    """The process: `execute` in an event loop of its own."""
    return asyncio.run(execute())


async def execute() -> int:
    """Run the RunSpec of this pod, or check the connection of its CheckSpec; returns the process's exit code.

    0: succeeded, awaits approval, or was stopped. 1: failed, another attempt may do better. 2: failed, and would again.
    """
    if path := os.environ.get(pod.ENV_CHECK_SPEC):
        return await _execute_check(Path(path))
    spec: RunSpec | None = None
    try:
        spec = read_run_spec(Path(os.environ.get(pod.ENV_RUN_SPEC, pod.RUN_SPEC_PATH)))
        log("started", run=spec.run.name, sync=spec.sync.name, namespace=spec.sync.namespace, attempt=spec.run.attempt)
        result = await _run(spec)
    except RetlError as error:
        result = _failed(spec, error.reason, str(error), retriable=error.retriable)
    except Exception as error:
        result = _failed(spec, "InternalError", _internal(error), retriable=True)
    _write_termination_log(termination_message(result))
    log("finished", **result.model_dump(mode="json", by_alias=True))
    if result.status != "Failed":
        return pod.EXIT_SUCCEEDED
    return pod.EXIT_FAILED if result.retriable else pod.EXIT_INVALID


async def _execute_check(path: Path) -> int:
    try:
        result = await _check(_read(CheckSpec, path, "check spec"))
    except RetlError as error:
        result = CheckResult(
            succeeded=False, reason=error.reason, message=str(error)[:MESSAGE_MAX], retriable=error.retriable
        )
    except asyncio.CancelledError:
        result = CheckResult(succeeded=False, reason="Interrupted", message="it was told to stop", retriable=True)
    except Exception as error:
        result = CheckResult(succeeded=False, reason="InternalError", message=_internal(error), retriable=True)
    result = result.model_copy(update={"finished_at": datetime.now(UTC)})
    _write_termination_log(termination_message(result))
    log("finished", **result.model_dump(mode="json", by_alias=True))
    if result.succeeded:
        return pod.EXIT_SUCCEEDED
    return pod.EXIT_FAILED if result.retriable else pod.EXIT_INVALID


async def _check(spec: CheckSpec) -> CheckResult:
    log("checking", connection=spec.connection.name, namespace=spec.namespace, number=spec.number)
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    state = _state(CATALOG_PATIENCE)
    try:
        return await check(spec, _secrets_dir(), state)
    finally:
        await state.close()


def read_run_spec(path: Path) -> RunSpec:
    """The RunSpec in a file (raises InvalidInput)."""
    return _read(RunSpec, path, "run spec")


def _read(model: type[S], path: Path, what: str) -> S:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the {what} {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise InvalidInput("; ".join(describe(error, what, model))) from None


def termination_message(result: RunResult | CheckResult) -> str:
    """The result as JSON of at most 4096 bytes; its message is cut where it does not fit."""
    text, words = result.model_dump_json(by_alias=True), result.message
    while len(text.encode()) > TERMINATION_MESSAGE_MAX and words:
        words = words[:-CUT]
        text = result.model_copy(update={"message": f"{words}…"}).model_dump_json(by_alias=True)
    return text


async def _run(spec: RunSpec) -> RunResult:
    stop = asyncio.Event()
    source, destination = connectors(spec, _secrets_dir())
    state = _state(PATIENCE)

    def end() -> None:
        stop.set()
        state.hurry(LAST_PATIENCE)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        return await pipeline.run(
            spec,
            source,
            destination,
            state,
            staging=Path(os.environ.get(pod.ENV_STAGING_DIR, pod.STAGING_DIR)),
            owner=socket.gethostname(),
            stop=stop,
            progress=LoggedProgress(),
        )
    finally:
        await state.close()


def _secrets_dir() -> Path:
    return Path(os.environ.get(pod.ENV_SECRETS_DIR, pod.SECRETS_DIR))


def _state(patience: timedelta) -> HttpStateStore:
    token = Path(os.environ.get(pod.ENV_STATE_TOKEN_FILE, pod.STATE_TOKEN_PATH))
    ca = os.environ.get(pod.ENV_STATE_CA)
    return HttpStateStore(_required(pod.ENV_STATE_URL), token, patience=patience, ca=ca)


def _internal(error: Exception) -> str:
    """What is said of a mistake in the program; its message may hold a row's value."""
    where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    log("internal error", type=type(error).__name__, where=where)
    return f"internal error {type(error).__name__}; the runner's log says where"


def _write_termination_log(message: str) -> None:
    Path(os.environ.get(pod.ENV_TERMINATION_LOG, pod.TERMINATION_LOG)).write_text(message)


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise InvalidInput(f"the environment variable {name} is not set")
    return value


def _failed(spec: RunSpec | None, reason: str, message: str, *, retriable: bool) -> RunResult:
    return RunResult(
        run=spec.run.name if spec else "",
        sync=spec.sync.name if spec else "",
        status="Failed",
        reason=reason,
        message=message[:MESSAGE_MAX],
        retriable=retriable,
    )
