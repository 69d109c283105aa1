"""Where a page ended, as text that clients hand back.

What a cursor says is checked again as the caller, so it need not be secret. The checksum tells one that was damaged, or
made up, from ours; the digest of the query ties it to the list it came from.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from time import time

from retl.rest.problems import FieldError, Problem

LIFE_SECONDS = 24 * 3600
_CHECKSUM = b"retl cursor 1"
_CHECKSUM_BYTES = 8
_DIGEST = 16


def query(*parts: object) -> str:
    """What a cursor belongs to: route, uid of the workspace, filters."""
    return json.dumps([None if part is None else str(part) for part in parts])


def seal(position: str, query: str, clock: Callable[[], float] = time) -> str:
    """A cursor.

    Args:
        position: where the next page begins, in words of whoever made the page.
        query: what was asked, see `query`.
    """
    said = json.dumps({"v": 1, "t": int(clock()), "q": _digest(query), "p": position}, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(said + _checksum(said)).decode().rstrip("=")


def open(text: str, query: str, clock: Callable[[], float] = time) -> str:
    """The position in a cursor.

    Raises:
        Problem: 422 `invalid-cursor` it is none, or of another list; `cursor-expired` it is older than a day.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refused("invalid-cursor", "is no cursor of this API") from None
    said, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not hmac.compare_digest(checksum, _checksum(said)):
        raise _refused("invalid-cursor", "is no cursor of this API")
    try:
        cursor = json.loads(said)
        issued, of, position = int(cursor["t"]), cursor["q"], str(cursor["p"])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):  # made up by one who knows the checksum
        raise _refused("invalid-cursor", "is no cursor of this API") from None
    if of != _digest(query):
        raise _refused("invalid-cursor", "belongs to another list; filters must stay the same from page to page")
    if clock() - issued > LIFE_SECONDS:
        raise _refused("cursor-expired", "is older than a day; begin again without it")
    return position


def _refused(slug: str, detail: str) -> Problem:
    return Problem(422, slug, f"cursor: {detail}", errors=[FieldError(detail, parameter="cursor")])


def _digest(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:_DIGEST]


def _checksum(said: bytes) -> bytes:
    return hmac.digest(_CHECKSUM, said, "sha256")[:_CHECKSUM_BYTES]
