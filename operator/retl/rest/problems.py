"""Errors as RFC 9457 problem details, the same for every route of the API pod."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from retl.errors import Busy, Fenced, InvalidInput, RetlError, SnapshotDamaged, StateError
from retl.resources.problems import Location
from retl.state.claims import ForeignSync
from retl.state.wire import PROBLEM_BUSY, PROBLEM_FENCED, PROBLEM_UNREADABLE, BadMessage

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://reverseetl.io/problems/"
RETRY_AFTER = {"Retry-After": "1"}

KEY_REUSED = "idempotency-key-reused"

ToPointer = Callable[[Location], str | None]
"""Says which field of a dialect's body a place in the manifest is, as a JSON pointer; None where it has none for it.

A dialect's routes leave theirs in the request's scope under POINTER.
"""
POINTER = "retl.pointer"
REQUEST_ID = "retl.request-id"
"""Where the request's scope holds its id."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with a request; all places are empty where it is wrong as a whole.

    Attributes:
        detail: what to change, for people.
        location: place in the manifest that the request is about, such as `("spec", "mappings", 3, "cast")`.
        pointer: or a place in the request's body, RFC 6901.
        parameter: or the name of a query parameter.
        header: or that of a header.
    """

    detail: str
    location: Location = ()
    pointer: str = ""
    parameter: str = ""
    header: str = ""

    def member(self, to_pointer: ToPointer | None) -> dict[str, str]:
        """The error as a problem document lists it."""
        pointer = self.pointer or (to_pointer(self.location) if to_pointer and self.location else None)
        places = {"pointer": pointer, "parameter": self.parameter, "header": self.header}
        return {"detail": self.detail} | {name: place for name, place in places.items() if place}


class Problem(Exception):
    """An answer that is not the one asked for.

    Args:
        status: HTTP status.
        slug: last part of the problem's type, stable, in kebab case.
        detail: what is wrong and what to change, for people.
        errors: the fields that are wrong, each.
        further: members of the document that belong to this type of problem.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        errors: Sequence[FieldError] = (),
        further: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = tuple(errors)
        self.further = dict(further or {})

    def document(self, to_pointer: ToPointer | None = None, id: str = "") -> dict[str, Any]:
        """The problem as a JSON object; `id` is the request's."""
        body: dict[str, Any] = {
            "type": TYPE_BASE + self.slug,
            "title": self.slug.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
        } | ({"instance": f"urn:retl:request:{id}"} if id else {})
        errors = [error.member(to_pointer) for error in self.errors]
        return body | ({"errors": errors} if errors else {}) | self.further

    def response(self, to_pointer: ToPointer | None = None, id: str = "") -> JSONResponse:
        """The problem as an answer."""
        return JSONResponse(self.document(to_pointer, id), self.status, self.headers, MEDIA_TYPE)


def not_found(what: str) -> Problem:
    """The thing does not exist, or not for this caller: nobody can tell which."""
    return Problem(404, "not-found", f"there is no {what}")


def unauthorized() -> Problem:
    """The same words whatever the reason, so that nobody learns which part of a credential was wrong."""
    return Problem(
        401,
        "unauthorized",
        "the credential is not valid here; send a Kubernetes token or an API key as Authorization: Bearer",
        {"WWW-Authenticate": 'Bearer realm="reverse-etl"'},
    )


def of(error: RetlError) -> Problem:
    """The problem that an error of ours is."""
    match error:
        case Busy():
            return Problem(409, PROBLEM_BUSY, str(error))
        case Fenced():
            return Problem(409, PROBLEM_FENCED, str(error))
        case ForeignSync():
            return not_found("such sync")
        case SnapshotDamaged():
            return Problem(500, "snapshot-damaged", str(error))
        case StateError():
            return Problem(503, "state-unavailable", str(error), RETRY_AFTER)
        case InvalidInput():
            return Problem(422, "invalid-input", str(error))
        case _:
            return bug()


def bug() -> Problem:
    """The program is wrong, not the request."""
    return Problem(500, "internal-error", "this is a mistake in the program; its log says more, under this id")


def install(app: FastAPI, *, public: bool) -> None:
    """Make the app answer every error with a problem.

    Args:
        public: keep from the answers where the state database is; the log tells it. Runners are told all.
    """

    def answer(request: Request, problem: Problem) -> JSONResponse:
        return problem.response(request.scope.get(POINTER), request.scope.get(REQUEST_ID, ""))

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return answer(request, error)

    @app.exception_handler(RetlError)
    async def ours(request: Request, error: RetlError) -> JSONResponse:
        problem = of(error)
        if public and problem.status >= 500:
            _log.warning("%s: %s", request.scope.get(REQUEST_ID), error)
            detail = (
                "the state database does not answer; try again" if isinstance(error, StateError) else problem.detail
            )
            problem = Problem(problem.status, problem.slug, detail, problem.headers)
        return answer(request, problem)

    @app.exception_handler(BadMessage)
    async def unreadable(request: Request, error: BadMessage) -> JSONResponse:
        return answer(request, Problem(422, PROBLEM_UNREADABLE, str(error)))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return answer(request, Problem(422, "invalid-input", wrong))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        path = request.scope["path"]
        methods = request.app.state.paths.methods(path) if error.status_code in (404, 405) else []
        match error.status_code, ", ".join(methods):
            case 405, allowed:
                problem = Problem(405, "method-not-allowed", f"this path takes {allowed}", {"Allow": allowed})
            case 404, _:
                problem = not_found("such path")
            case status, _:
                problem = Problem(status, "http-error", str(error.detail), error.headers)
        return answer(request, problem)
