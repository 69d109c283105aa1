"""What an endpoint says, made fit for a dead letter: its words found, without secrets, printable, on one line."""

import base64
import html
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

import orjson

MESSAGE_MAX = 500
FIELDS = ("detail", "message", "error", "title", "error_description", "errors", "reason", "msg")
"""Fields of an error body that commonly hold the words."""


class Redaction:
    """Takes secrets out of texts, as they are and in the forms that servers echo them in."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub("…", text) if self._pattern else text


def _forms(secret: str) -> Iterable[str]:
    yield secret
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret.encode()).decode().rstrip("=")
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield html.escape(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]


def printable(text: str) -> str:
    """The text on one line, without control characters and halves of surrogate pairs, at most MESSAGE_MAX long."""
    text = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())[:MESSAGE_MAX]


def parsed(body: bytes, *, exactly: bool = False) -> Any:
    """The body as JSON, or None.

    Args:
        exactly: numbers of any size as they stand: fractions as text.
    """
    try:
        if not exactly:
            return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass  # it may hold half a surrogate pair, which the standard library forgives
    try:
        return json.loads(body, parse_float=str)
    except (ValueError, RecursionError):
        return None


def message(body: bytes) -> str:
    """The words of an error body: a field that commonly holds them, or a short text."""
    found = parsed(body)
    if found is None:
        text = body[: 64 * MESSAGE_MAX].decode("utf-8", "replace")
        return "" if "<" in text else text  # a proxy's HTML page is no message
    return spoken(found)


def spoken(found: Any) -> str:
    """The words in a JSON value; of several, the first."""
    for _ in range(8):  # deeper words are no words
        if isinstance(found, dict):
            found = next((found[f] for f in FIELDS if found.get(f)), "")
        elif isinstance(found, list):
            found = found[0] if found else ""
    return found if isinstance(found, str) else ""


def is_page(body: bytes, content_type: str) -> bool:
    """Whether a body is a web page; many a framework calls a plain "OK" HTML, too."""
    text = body[:200].lstrip().lower()
    return text.startswith((b"<!doctype html", b"<html")) or (text[:1] == b"<" and "text/html" in content_type.lower())
