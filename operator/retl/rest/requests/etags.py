"""Versions of objects as entity tags (RFC 9110): the resource version, in quotes."""

import re

from fastapi import Request

_TAG = re.compile(r'\s*(W/)?"([^"]*)"\s*')
ANY = "*"


def tag(version: str) -> str:
    """The strong tag of a resource version."""
    return f'"{version}"'


def if_match(request: Request) -> frozenset[str] | None:
    """The versions of which an object must still have one; None: whatever it has.

    Only strong tags count; where there is none among those sent, no version is right.
    """
    headers = request.headers.getlist("if-match")
    sent = ",".join(headers).strip()
    if not headers or sent == ANY:
        return None
    return frozenset(version for weak, version in _tags(sent) if not weak)


def unchanged(request: Request, version: str) -> bool:
    """Whether If-None-Match says that the client has this version already."""
    sent = ",".join(request.headers.getlist("if-none-match")).strip()
    return sent == ANY or version in (known for _, known in _tags(sent))


def _tags(text: str) -> list[tuple[str, str]]:
    return [(found[1] or "", found[2]) for part in text.split(",") if (found := _TAG.fullmatch(part))]
