"""How answers are written."""

from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response

from retl.rest.requests import etags
from retl.rest.requests.writes import DRY_RUN, REPLAYED
from retl.rest.service.values import Write

YAML = "application/yaml"


def json(
    content: Any,
    status: int = 200,
    *,
    version: str = "",
    location: str = "",
    how: Write | None = None,
    replayed: bool = False,
) -> Response:
    """A JSON document.

    Args:
        content: of text, numbers, lists and objects; UUIDs are written as text, moments are text already.
        version: resource version of what it shows, for the ETag; empty: none.
        location: path of what was made.
        how: of the write that it answers.
        replayed: an earlier request with the same Idempotency-Key has made it.
    """
    headers = _headers(version, location, how, replayed)
    return Response(orjson.dumps(content), status, headers, "application/json")


def read(request: Request, content: Any, version: str) -> Response:
    """What a GET of one object answers: 304 where the client has this version already, if it has any."""
    if version and etags.unchanged(request, version):
        return Response(status_code=304, headers={"ETag": etags.tag(version)})
    return json(content, version=version)


def yaml(
    text: str,
    status: int = 200,
    *,
    version: str = "",
    location: str = "",
    how: Write | None = None,
    replayed: bool = False,
) -> Response:
    """Manifests; the rest as of `json`."""
    return Response(text, status, _headers(version, location, how, replayed), YAML)


def wants_yaml(request: Request, format: str) -> bool:
    """Whether the manifest is asked for, by the query or by Accept."""
    return format == "yaml" or request.headers.get("accept", "").strip().lower() == YAML


def moment(at: datetime) -> str:
    """A moment as both dialects write it: `2025-03-27T17:00:00Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def explained(reason: str, message: str) -> str:
    """Why something is as it is, in one line; either may be empty."""
    return ": ".join(part for part in (reason, message) if part)


def _headers(version: str, location: str, how: Write | None, replayed: bool) -> dict[str, str]:
    said = {
        "ETag": etags.tag(version) if version else "",
        "Location": location,
        DRY_RUN: "true" if how and how.dry_run else "",
        REPLAYED: "true" if replayed else "",
    }
    return {name: text for name, text in said.items() if text}
