"""The runner's process: whatever happens, its termination message says it, and its exit code fits."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from retl.errors import InvalidInput
from retl.runner.connect import connectors, load_secret
from retl.runner.execute import TERMINATION_MESSAGE_MAX, termination_message
from retl.runspec import pod
from retl.runspec.result import RunResult
from retl.runspec.spec import RunSpec

SPEC: dict[str, Any] = {
    "run": {"name": "nightly-202601010000", "uid": "r"},
    "sync": {"namespace": "growth", "name": "nightly", "uid": "s"},
    "source": {"name": "w", "uid": "w", "connector": "duckdb", "config": {"files": {"t": "/nowhere.csv"}}},
    "query": {"table": "t"},
    "destination": {"name": "d", "uid": "d", "connector": "http", "config": {"url": "http://127.0.0.1:1/"}},
    "object": "t",
    "mode": "upsert",
    "primaryKey": ["id"],
    "mappings": [{"source": "id", "destination": "id", "key": True}],
}


async def start(tmp_path: Path, spec: str, program: str = "", **environment: str) -> asyncio.subprocess.Process:
    """`retl execute`, after what `program` changes of it."""
    (tmp_path / "run.json").write_text(spec)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"import sys, retl.runner.execute as e\n{program}\nsys.exit(e.main())"),
        env={
            "PATH": os.environ["PATH"],
            pod.ENV_RUN_SPEC: str(tmp_path / "run.json"),
            pod.ENV_SECRETS_DIR: str(tmp_path / "secrets"),
            pod.ENV_STAGING_DIR: str(tmp_path / "staging"),
            pod.ENV_TERMINATION_LOG: str(tmp_path / "termination"),
            **environment,
        },
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(tmp_path: Path, process: asyncio.subprocess.Process) -> tuple[int, dict[str, Any], str]:
    """Its exit code, termination message and log."""
    async with asyncio.timeout(60):
        _, log = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads((tmp_path / "termination").read_text()), log.decode()


async def execute(tmp_path: Path, spec: str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, termination message and log of `retl execute`."""
    return await ended(tmp_path, await start(tmp_path, spec, **environment))


async def test_a_run_spec_that_is_none_is_said_in_the_termination_message(tmp_path: Path) -> None:
    code, message, _ = await execute(tmp_path, "{}")
    assert (code, message["status"], message["reason"]) == (pod.EXIT_INVALID, "Failed", "InvalidInput")
    assert "run spec.run: is required" in message["message"]


async def test_a_missing_secret_is_said_with_the_names_of_run_and_sync(tmp_path: Path) -> None:
    spec = {**SPEC, "destination": {**SPEC["destination"], "secret": "crm-token"}}
    code, message, log = await execute(tmp_path, json.dumps(spec))
    assert (code, message["run"], message["sync"]) == (pod.EXIT_INVALID, "nightly-202601010000", "nightly")
    assert message["message"].startswith("Secret crm-token: there is no directory")
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["event"] for event in events] == ["started", "finished"]


async def test_without_a_state_service_nothing_is_attempted(tmp_path: Path) -> None:
    code, message, _ = await execute(tmp_path, json.dumps(SPEC))
    assert (code, message["message"]) == (pod.EXIT_INVALID, "the environment variable RETL_STATE_URL is not set")


async def test_one_that_is_told_to_stop_does_not_wait_for_a_state_service_that_is_gone(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        asked.set()

    (tmp_path / "token").write_text("t")
    async with await asyncio.start_server(cut, "127.0.0.1", 0) as service:
        url = f"http://127.0.0.1:{service.sockets[0].getsockname()[1]}"
        where = {pod.ENV_STATE_URL: url, pod.ENV_STATE_TOKEN_FILE: str(tmp_path / "token")}
        process = await start(tmp_path, json.dumps(SPEC), "e.LAST_PATIENCE /= 20", **where)
        async with asyncio.timeout(60):
            await asked.wait()
        process.terminate()
        code, message, _ = await ended(tmp_path, process)
    assert (code, message["reason"]) == (pod.EXIT_FAILED, "StateUnavailable")
    assert "no answer within 1 s" in message["message"]


async def test_an_error_in_the_program_is_told_without_its_words(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import retl.runner.execute as e\ndef broken(*_): raise KeyError('row value')\ne.connectors = broken\n"
    )
    code, message, log = await execute(tmp_path, json.dumps(SPEC), PYTHONPATH=str(tmp_path))
    assert (code, message["reason"], message["retriable"]) == (pod.EXIT_FAILED, "InternalError", True)
    assert "KeyError" in message["message"]
    assert "row value" not in log + json.dumps(message)


@pytest.mark.parametrize("text", ["short", "x" * 2000, "漢" * 2000, "\x01" * 2000])
def test_the_termination_message_fits(text: str) -> None:
    message = termination_message(RunResult(run="r", sync="s" * 253, status="Failed", message=text))
    assert len(message.encode()) <= TERMINATION_MESSAGE_MAX
    read = RunResult.model_validate_json(message)
    assert read.message == text or (read.message.endswith("…") and text.startswith(read.message[:-1]))
    assert len(read.message) > 4


def test_a_secret_is_a_directory_with_a_file_for_each_key(tmp_path: Path) -> None:
    data = tmp_path / "crm" / "..2026_01_01"
    data.mkdir(parents=True)
    (data / "token").write_text("abc\n")
    (tmp_path / "crm" / "..data").symlink_to(data)
    (tmp_path / "crm" / "token").symlink_to(Path("..data") / "token")
    assert load_secret(tmp_path, "crm") == {"token": "abc"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"source": {**SPEC["source"], "connector": "postgrs"}},
            "no source connector 'postgrs'; did you mean 'postgres'?",
        ),
        ({"source": {**SPEC["source"], "config": {}}}, "config: set path to a .duckdb file"),
        ({"destination": {**SPEC["destination"], "secret": "crm"}}, "no directory of secrets was given"),
    ],
)
def test_what_is_wrong_with_a_connection_is_said(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        connectors(RunSpec.model_validate({**SPEC, **change}), None)
    assert words in str(raised.value)
