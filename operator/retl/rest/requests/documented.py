"""What an operation says of itself in the OpenAPI description.

FastAPI cannot know: bodies and queries are read by our own readers, and answers are written as they are. So each route
is declared with `**operation(...)`, and what stands there is checked against the running program by the tests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel, TypeAdapter

from retl.rest.problems import MEDIA_TYPE, TYPE_BASE
from retl.rest.requests import writes
from retl.rest.requests.queries import Query, Writing

PROBLEM = "#/components/schemas/Problem"
ALWAYS = (401, 403, 404, 422, 429, 500, 503)
"""Statuses of problems that any operation may answer with."""
WRITES = (409, 412, 413, 415)
"""Further ones of those that change something."""


def header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """A header that a request may carry."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"} | schema}


REQUEST_ID = header(
    "X-Request-ID", "Id of the request, 1-64 of `A-Z a-z 0-9 . _ -`; the answer repeats it, else tells a new one."
)
IF_MATCH = header("If-Match", "ETag that the object must still have, or several of which it has one; otherwise 412.")
IF_NONE_MATCH = header("If-None-Match", "ETag that the client has; 304 if it is still the one.")
ONCE = header(
    writes.IDEMPOTENCY_KEY,
    "Makes a repetition of this request harmless: it is answered by what the first one made.",
    minLength=1,
    maxLength=writes.MAX_KEY,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it is meant.

    Attributes:
        example: as the API writes it; None where there is no example to give.
        shape: type of which the JSON is; None: any JSON.
        headers: names of headers that it carries, and what they say.
        media: its media type; empty: it has no body.
        also: further media types, with an example each.
    """

    description: str
    example: Any = None
    shape: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/json"
    also: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As a Response Object."""
        said: dict[str, Any] = {"description": self.description}
        if self.media:
            said["content"] = {self.media: self._content()} | {
                media: {"schema": {}, "example": example} for media, example in self.also.items()
            }
        if self.headers:
            said["headers"] = {
                name: {"description": text, "schema": {"type": "string"}} for name, text in self.headers.items()
            }
        return said

    def _content(self) -> dict[str, Any]:
        schema = {} if self.shape is None else TypeAdapter(self.shape).json_schema(mode="serialization")
        if self.media.startswith("text/plain"):
            schema = {"type": "string"}
        return {"schema": schema} | ({} if self.example is None else {"example": self.example})


def operation(
    summary: str,
    *answers: Answer,
    problems: Sequence[int] = (),
    query: type[Query] = Query,
    body: type[BaseModel] | None = None,
    example: Any = None,
    optional: bool = False,
    headers: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Arguments of a route: what it is for, takes and answers.

    Args:
        summary: one line.
        answers: the good ones; the first is the usual one.
        problems: statuses beside ALWAYS.
        query: of the request.
        body: of the request; with an example, and whether it may be left out.
        headers: beside X-Request-ID, see `header`.
    """
    extra: dict[str, Any] = {"parameters": [*_parameters(query), *headers, REQUEST_ID]}
    if body is not None:
        extra["requestBody"] = _body(body, example, optional)
    usual = {writes.DRY_RUN: "`true`: nothing was kept."} if issubclass(query, Writing) else {}
    usual |= {writes.REPLAYED: "`true`: an earlier request with the same key has made it."} if ONCE in headers else {}
    first = replace(answers[0], headers={**answers[0].headers, **usual})
    good: dict[int | str, Any] = {answer.status: answer.document() for answer in (first, *answers[1:])}
    return {
        "summary": summary,
        "status_code": answers[0].status,
        "response_class": Response,  # says nothing of its own about what an answer is
        "response_description": answers[0].description,
        "responses": good | {status: _problem(status) for status in sorted({*ALWAYS, *problems})},
        "openapi_extra": extra,
    }


def _parameters(query: type[Query]) -> list[dict[str, Any]]:
    schema = query.model_json_schema()
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _plain(of)}
        | ({"description": of["description"]} if "description" in of else {})
        for name, of in schema.get("properties", {}).items()
    ]


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter that is not sent is not null: there is no way to send that."""
    kept = {key: value for key, value in schema.items() if key not in ("description", "title", "anyOf")}
    for option in schema.get("anyOf", ()):
        if option != {"type": "null"}:
            kept |= option
    return {key: value for key, value in kept.items() if not (key == "default" and value is None)}


def _body(model: type[BaseModel], example: Any, optional: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": model.model_json_schema()}
    if example is not None:
        content["example"] = example
    return {"required": not optional, "content": {"application/json": content}}


def _problem(status: int) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    said: dict[str, Any] = {"description": phrase, "content": {MEDIA_TYPE: {"schema": {"$ref": PROBLEM}}}}
    if status in (429, 503):
        said["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return said


def problem_schema() -> dict[str, Any]:
    """What all problems look like (RFC 9457)."""
    text = {"type": "string"}
    wrong = {"type": "object", "required": ["detail"], "properties": dict.fromkeys(_PLACES, text)}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": text | {"format": "uri", "examples": [TYPE_BASE + "invalid-input"]},
            "title": text,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": text,
            "instance": text | {"description": "urn:retl:request: and the request's id"},
            "errors": {"type": "array", "items": wrong},
        },
    }


_PLACES = ("detail", "pointer", "parameter", "header")
