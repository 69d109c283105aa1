"""How a write is to be done, as the headers and the query of its request say."""

from fastapi import Request

from retl.rest.problems import FieldError, Problem
from retl.rest.requests import etags, headers
from retl.rest.requests.bodies import DIGEST
from retl.rest.requests.paths import Paths
from retl.rest.service.values import Write

IDEMPOTENCY_KEY = "Idempotency-Key"
MAX_KEY = 255
VERSION_PREFIX = "/v1"
"""What one API is served with and without."""
DRY_RUN = "Retl-Dry-Run"
REPLAYED = "Idempotency-Replayed"
"""Headers of answers."""


def how(request: Request, dry_run: bool = False) -> Write:
    """How to do a write; call it after the body is read (raises Problem 422 for a key that is none)."""
    key = _key(request) if request.method == "POST" else ""
    return Write(
        dry_run=dry_run,
        if_match=etags.if_match(request),
        idempotency_key=key,
        digest=request.scope.get(DIGEST, ""),
        what=_what(request) if key else "",
    )


def _what(request: Request) -> str:
    """The route, and the ids in its path but that of the workspace, which has two names."""
    paths: Paths = request.app.state.paths
    template = paths.template(request.scope["path"]).removeprefix(VERSION_PREFIX)
    return " ".join([template, *(text.lower() for name, text in request.path_params.items() if name != "id")])


def _key(request: Request) -> str:
    key = headers.once(request, IDEMPOTENCY_KEY) or ""
    if len(key) > MAX_KEY or not (key.isascii() and key.isprintable()):
        wrong = f"must be 1 to {MAX_KEY} printable ASCII characters"
        errors = [FieldError(wrong, header=IDEMPOTENCY_KEY)]
        raise Problem(422, "invalid-input", f"{IDEMPOTENCY_KEY}: {wrong}", errors=errors)
    return key
