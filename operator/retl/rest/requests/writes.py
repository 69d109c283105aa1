"""How a write is to be done, as the headers and the query of its request say."""

from fastapi import Request

from retl.rest.problems import FieldError, Problem
from retl.rest.requests import etags, headers
from retl.rest.requests.bodies import DIGEST
from retl.rest.service.values import Write

IDEMPOTENCY_KEY = "Idempotency-Key"
MAX_KEY = 255
DRY_RUN = "Retl-Dry-Run"


def how(request: Request, dry_run: bool = False) -> Write:
    """How to do a write; call it after the body is read (raises Problem 422 for a key that is none)."""
    return Write(
        dry_run=dry_run,
        if_match=etags.if_match(request),
        idempotency_key=_key(request) if request.method == "POST" else "",
        digest=request.scope.get(DIGEST, ""),
    )


def _key(request: Request) -> str:
    key = headers.once(request, IDEMPOTENCY_KEY) or ""
    if len(key) > MAX_KEY or not (key.isascii() and key.isprintable()):
        wrong = f"must be 1 to {MAX_KEY} printable ASCII characters"
        errors = [FieldError(wrong, header=IDEMPOTENCY_KEY)]
        raise Problem(422, "invalid-input", f"{IDEMPOTENCY_KEY}: {wrong}", errors=errors)
    return key
