"""What is said of /api/reverse-etl, in its OpenAPI description and in its guide, against what it is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, TypeAdapter

from retl.rest.pages.openapi import describe
from retl.rest.reverse_etl import answers, bodies, examples
from retl.rest.reverse_etl.router import PREFIXES, router

GUIDE = Path(__file__).parents[3] / "docs" / "rest-reverse-etl.md"
PUBLISHED = {
    "GET /syncs",
    "POST /syncs",
    "GET /syncs/{id}",
    "PUT /syncs/{id}",
    "DELETE /syncs/{id}",
    "POST /sync/run",
    "POST /sync/toggle",
    "GET /destinations",
    "GET /objects",
    "GET /fields",
    "GET /runs",
    "GET /dlq",
    "GET /dlq/stats",
    "POST /dlq/resolve",
}
OF_BOTH_APIS = {"format", "dryRun"}
"""Parameters that the common guide tells of."""
Operations = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def operations() -> Operations:
    """By method and path below the prefix."""
    app = FastAPI()
    app.include_router(router)
    paths: dict[str, dict[str, Any]] = describe(app)["paths"]
    return {
        f"{method.upper()} {path.removeprefix(PREFIXES[0])}": operation
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "servers"
    }


def rows() -> Iterator[tuple[str, set[str]]]:
    """Operations and their parameters, as the guide tells of them."""
    for method, path, query in re.findall(r"^\| ([A-Z]+) \| `([^`]*)` \|([^|]*)\|", GUIDE.read_text(), re.MULTILINE):
        yield f"{method} {path}", set(re.findall("`([^`]*)`", query))


def test_every_published_endpoint_is_there(operations: Operations) -> None:
    assert len(PUBLISHED) == 14
    assert operations.keys() >= PUBLISHED


def test_both_prefixes_lead_to_the_same() -> None:
    routes = {(str(each.path), method) for each in iter_route_contexts(router.routes) for method in each.methods or ()}
    first, second = (
        {(path.removeprefix(prefix), m) for path, m in routes if path.startswith(prefix)} for prefix in PREFIXES
    )
    assert first == second
    assert len(routes) == len(first) + len(second)


def test_the_guide_names_every_endpoint_with_its_parameters_and_no_other(operations: Operations) -> None:
    described = {
        name: {each["name"] for each in operation["parameters"] if each["in"] == "query"} - OF_BOTH_APIS
        for name, operation in operations.items()
    }
    assert dict(rows()) == described


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (bodies.CreateSync, examples.CREATE_SYNC),
        (bodies.ChangeSync, examples.CHANGE_SYNC),
        (bodies.RunSync, examples.RUN_SYNC),
        (bodies.ApproveRun, examples.APPROVE_RUN),
        (bodies.ResolveLetters, examples.RESOLVE_LETTERS),
    ],
)
def test_the_example_of_a_body_is_one(model: type[BaseModel], example: Any) -> None:
    assert model.model_validate_json(json.dumps(example)).model_dump(by_alias=True, exclude_unset=True) == example


@pytest.mark.parametrize(
    ("operation", "status", "shape", "example"),
    [
        ("GET /syncs", 200, answers.Paged[answers.Resource[answers.SyncListed]], examples.SYNCS),
        ("GET /syncs/{id}", 200, answers.One[answers.Resource[answers.SyncWhole]], examples.SYNC),
        ("PUT /syncs/{id}", 200, answers.One[answers.Resource[answers.SyncChanged]], examples.SYNC_CHANGED),
        ("DELETE /syncs/{id}", 200, answers.One[answers.Resource[answers.SyncDeleted]], examples.SYNC_DELETED),
        ("POST /sync/run", 202, answers.One[answers.Resource[answers.RunStarted]], examples.RUN_STARTED),
        ("GET /runs", 200, answers.Paged[answers.Resource[answers.RunListed]], examples.RUNS),
        ("GET /runs/{id}", 200, answers.One[answers.Resource[answers.RunWhole]], examples.RUN),
        ("GET /dlq", 200, answers.Paged[answers.Resource[answers.LetterAttributes]], examples.LETTERS),
        (
            "POST /dlq/resolve",
            200,
            answers.One[answers.Summary[answers.ResolvedAttributes]],
            examples.LETTERS_RESOLVED,
        ),
    ],
)
def test_the_example_of_an_answer_is_one_and_is_described_with_its_nulls(
    operations: Operations, operation: str, status: int, shape: Any, example: Any
) -> None:
    assert TypeAdapter(shape).validate_python(example, strict=True) == example
    described = operations[operation]["responses"][str(status)]["content"]["application/json"]["example"]
    assert described == example
