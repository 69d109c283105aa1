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
from retl.state.wire import PROBLEM_BUSY, PROBLEM_FENCED, BadMessage

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://reverseetl.io/problems/"
RETRY_AFTER = {"Retry-After": "1"}

_log = logging.getLogger(__name__)


ToPointer = Callable[[Location], str | None]
"""Says which field of a dialect's body a place in the manifest is, as a JSON pointer; None where it has none for it.

A dialect's routes leave theirs in the request's scope under POINTER.
"""
POINTER = "retl.pointer"


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

    def document(self, to_pointer: ToPointer | None = None) -> dict[str, Any]:
        """The problem as a JSON object."""
        body: dict[str, Any] = {
            "type": TYPE_BASE + self.slug,
            "title": self.slug.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
        }
        errors = [error.member(to_pointer) for error in self.errors]
        return body | ({"errors": errors} if errors else {}) | self.further

    def response(self, to_pointer: ToPointer | None = None) -> JSONResponse:
        """The problem as an answer."""
        return JSONResponse(self.document(to_pointer), self.status, self.headers, MEDIA_TYPE)


def not_found(what: str) -> Problem:
    """The thing does not exist, or not for this caller: nobody can tell which."""
    return Problem(404, "not-found", f"there is no {what}")


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
            return Problem(500, "internal-error", str(error))


def install(app: FastAPI) -> None:
    """Make the app answer every error with a problem."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return error.response(request.scope.get(POINTER))

    @app.exception_handler(RetlError)
    async def ours(_: Request, error: RetlError) -> JSONResponse:
        return of(error).response()

    @app.exception_handler(BadMessage)
    async def unreadable(_: Request, error: BadMessage) -> JSONResponse:
        return Problem(422, "invalid-input", str(error)).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return Problem(422, "invalid-input", wrong).response()

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
        return Problem(error.status_code, slug, str(error.detail), error.headers).response()

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Problem(500, "internal-error", "this is a mistake in the program; its log says more").response()
