"""What is said of /api/v1/workspaces, in its OpenAPI description and in its guide, against what it is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter

from retl.rest.workspaces import examples
from retl.rest.workspaces.answers import Connector, Model, Run, StartedRun, Sync
from retl.rest.workspaces.bodies import ChangeSync, CreateSync
from retl.rest.workspaces.router import router

GUIDE = Path(__file__).parents[3] / "docs" / "rest-workspaces.md"
ROOT = "/api/v1/workspaces/{id}"
PUBLISHED = {
    "GET /syncs",
    "POST /syncs",
    "GET /syncs/{syncId}",
    "PUT /syncs/{syncId}",
    "DELETE /syncs/{syncId}",
    "POST /syncs/{syncId}/trigger",
    "GET /syncs/{syncId}/runs",
    "GET /syncs/{syncId}/runs/{runId}",
}


@pytest.fixture(scope="module")
def endpoints() -> set[str]:
    app = FastAPI()
    app.include_router(router)
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return {f"{method.upper()} {path.removeprefix(ROOT)}" for path, item in paths.items() for method in item}


def test_every_published_endpoint_is_there(endpoints: set[str]) -> None:
    assert endpoints >= PUBLISHED


def test_the_guide_names_every_endpoint_and_no_other(endpoints: set[str]) -> None:
    told = set(re.findall(r"^\| (GET|POST|PUT|DELETE) \| `([^`]*)`", GUIDE.read_text(), re.MULTILINE))
    assert {f"{method} {path}" for method, path in told} == endpoints


@pytest.mark.parametrize(("model", "example"), [(CreateSync, examples.CREATE), (ChangeSync, examples.CHANGE)])
def test_the_example_of_a_body_is_one(model: type[BaseModel], example: Any) -> None:
    assert model.model_validate_json(json.dumps(example)).model_dump(exclude_unset=True) == example


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (Sync, examples.SYNC),
        (StartedRun, examples.STARTED),
        (Run, examples.RUN),
        (Connector, examples.DESTINATION),
        (Model, examples.MODEL),
    ],
)
def test_the_example_of_an_answer_is_one(shape: Any, example: Any) -> None:
    assert TypeAdapter(shape).validate_python(example, strict=True) == example
