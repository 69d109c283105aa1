"""What an endpoint says, made fit for a dead letter: its words found, without secrets, printable, on one line."""

import base64
import json
import re
from collections.abc import Iterable
from html.entities import html5
from typing import Any

import orjson

MESSAGE_MAX = 500
READ_MAX = 64 * MESSAGE_MAX
"""Characters of a text that words are looked for in; much of it may be blank."""
FIELDS = ("detail", "message", "error", "title", "error_description", "errors", "reason", "msg")
"""Fields of an error body that commonly hold the words."""


class Redaction:
    """Takes secrets out of texts, as they are and in the forms that servers echo them in."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = [[_spellings(char) for char in form] for form in {form for s in secrets if s for form in _forms(s)}]
        forms.sort(key=len, reverse=True)
        self._longest = max((sum(len(spellings[0]) for spellings in form) for form in forms), default=0)
        self._pattern = re.compile("|".join(map(_pattern, forms))) if forms else None

    def __call__(self, text: str) -> str:
        """The text without them, and if it is longer than READ_MAX, without what may be the half of one at its end."""
        if self._pattern is None:
            return text
        shown = self._pattern.sub("…", text[:READ_MAX])
        return shown if len(text) <= READ_MAX else shown[: -self._longest]


def _forms(secret: str) -> Iterable[str]:
    yield secret
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret.encode()).decode().rstrip("=")


def _spellings(char: str) -> list[str]:
    """How a character is written in URLs, JSON and HTML; the longest first."""
    if char.isascii() and char.isalnum():
        return [char]
    number = ord(char)
    url = ["".join(f"%{byte:02x}" for byte in char.encode()), "+" if char == " " else char]
    in_json = [json.dumps(char)[1:-1], f"\\{char}", f"\\u{number:04x}"]
    in_html = [f"&#{number};", f"&#{number:03};", f"&#x{number:x};", *_entities(char)]
    return sorted({char, *url, *in_json, *in_html}, key=len, reverse=True)


def _entities(char: str) -> Iterable[str]:
    return (f"&{name}" for name, text in html5.items() if text == char and name.endswith(";"))


def _pattern(form: list[list[str]]) -> str:
    """A regular expression for a text, each of whose characters may be spelled in several ways."""
    return "".join(
        re.escape(spellings[0]) if len(spellings) == 1 else f"(?i:{'|'.join(map(re.escape, spellings))})"
        for spellings in form
    )


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
        text = body.decode("utf-8", "replace")
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
