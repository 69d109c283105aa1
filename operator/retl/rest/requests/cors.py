"""Pages of other origins: off, unless an origin is named; and never with cookies, of which there are none."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

_SENT = [
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "X-Request-ID",
    "X-Workspace-ID",
]
_SHOWN = ["ETag", "Idempotency-Replayed", "Location", "Retl-Dry-Run", "Retry-After", "X-Request-ID"]


def allow(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins, each written out, ask and read the answers."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=_SENT,
        expose_headers=_SHOWN,
    )
