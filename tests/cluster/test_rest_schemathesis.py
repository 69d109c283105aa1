"""The description against the running pod: thousands of requests that fit it, and such that do not."""

import asyncio
import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from tests.cluster.rest_api import ACCOUNTS, Rest, Role

EXAMPLES = 2
"""Made-up requests of each kind for each operation, beside those that try each bound of each field."""
UNCHECKED = (
    # What fits the description may still name a destination, a model or an entry that is not there.
    "positive_data_acceptance",
)


def described(rest: Rest) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(f"{rest.url}/openapi.json", trust_env=False).json()
    return document


def test_the_description_is_openapi_3_1(rest: Rest) -> None:
    document = described(rest)
    wrong = [
        (list(error.instance_path), error.message)
        for error in jsonschema_rs.validator_for(OPENAPI_31).iter_errors(document)
    ]
    assert wrong == []
    assert document["openapi"].startswith("3.1")


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in ("get", "put", "post", "delete")
    ]


def test_each_operation_says_what_it_takes_and_gives_with_an_example(rest: Rest) -> None:
    for method, path, operation in operations(described(rest)):
        good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        contents = [content for answer in good for content in answer["content"].values()]
        assert operation["summary"], f"{method} {path}"
        assert contents, f"{method} {path}"
        shaped = [content for content in contents if content["schema"] not in ({}, {"type": "string"})]
        assert all("example" in content for content in shaped), f"{method} {path}"
        if "requestBody" in operation:
            body = operation["requestBody"]["content"]["application/json"]
            assert body["schema"].get("additionalProperties") is False, f"{method} {path}"


def test_each_operation_says_which_headers_its_answers_have(rest: Rest) -> None:
    for method, path, operation in operations(described(rest)):
        [(status, answer)] = [(each, said) for each, said in operation["responses"].items() if each.startswith("2")]
        taken = {parameter["name"] for parameter in operation["parameters"]}
        headers = answer.get("headers", {}).keys()
        assert ("dryRun" in taken) is ("Retl-Dry-Run" in headers), f"{method} {path}"
        assert ("Idempotency-Key" in taken) is ("Idempotency-Replayed" in headers), f"{method} {path}"
        assert (status in ("201", "202")) is ("Location" in headers), f"{method} {path}"


def pinned(document: dict[str, Any], workspace: str, syncs: dict[str, list[str]]) -> dict[str, Any]:
    """The description for one workspace and mostly for syncs that are there, so that requests get further."""
    narrowed = copy.deepcopy(document)
    for _, path, operation in operations(narrowed):
        for parameter in operation.get("parameters", []):
            match parameter["name"], parameter["in"], path.startswith("/api/v1/workspaces"):
                case ("id", "path", True) | ("X-Workspace-ID", "header", _):
                    parameter["schema"] = {"type": "string", "enum": [workspace]}
                case ("syncId", "path", True):
                    parameter["schema"] = {"type": "string", "enum": [*syncs["uuid"], str(uuid4())]}
                case ("refresh", "query", _):  # nobody is there to make the check that it waits for
                    parameter["schema"] = {"type": "boolean", "enum": [False]}
                case ("format", "query", _) if path.endswith("/syncs"):  # it takes several documents for a mistake
                    parameter["schema"] = {"type": "string", "enum": ["json"]}
                case ("id", "path", False) if "/syncs/" in path:
                    parameter["schema"] = {"type": "string", "enum": [*syncs["typeid"], f"retl_sync_{'0' * 26}"]}
    return narrowed


@pytest.mark.parametrize(
    ("role", "phases", "mode"),
    [
        ("admin", "examples,coverage", "all"),
        ("viewer", "examples,fuzzing", "positive"),  # what does not fit, the other has sent
    ],
)
async def test_no_request_is_answered_otherwise_than_described(
    rest: Rest, role: Role, phases: str, mode: str, tmp_path: Path
) -> None:
    syncs: dict[str, list[str]] = {"uuid": [], "typeid": []}
    async with rest.as_("admin") as admin:
        for _ in range(3):
            made = await admin.post("/api/reverse-etl/syncs", json=ACCOUNTS)
            assert made.status_code == 201, made.text
            syncs["typeid"].append(made.json()["data"]["id"])
        listed = await admin.get(f"/api/v1/workspaces/{rest.namespace.name}/syncs")
        syncs["uuid"] = [sync["id"] for sync in listed.json()]
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(pinned(described(rest), rest.namespace.name, syncs)))
    done = await asyncio.to_thread(schemathesis, file, rest, role, phases, mode)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{rest.log()}"
    # Where it fails itself, it goes on as if all that is left were well.
    assert re.search(r"Selected: (\d+)/\1\s+Tested: \1\n", done.stdout), f"{done.stdout}\n{done.stderr}"


def schemathesis(description: Path, rest: Rest, role: Role, phases: str, mode: str) -> subprocess.CompletedProcess[str]:
    """Its command line, which tells each failure with a command that repeats it."""
    return subprocess.run(
        [
            *(str(Path(sys.executable).with_name("st")), "run", str(description), "--url", rest.url),
            *("--header", f"Authorization: Bearer {rest.tokens[role]}"),
            *("--checks", "all", "--exclude-checks", ",".join(UNCHECKED)),
            *("--phases", phases, "--mode", mode, "--max-examples", str(EXAMPLES)),
            *("--seed", "1", "--request-timeout", "15", "--continue-on-failure", "--no-color"),
            *("--suppress-health-check", "all", "--generation-database", "none", "--workers", "1"),
        ],
        cwd=description.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
