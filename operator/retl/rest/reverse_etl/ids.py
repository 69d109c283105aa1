"""Which object an id names: the TypeIDs of this API, or the bare uid that kubectl shows."""

import re
from collections.abc import Sequence
from uuid import UUID

from retl.errors import InvalidInput
from retl.resources.ids import Prefix, uid_of
from retl.rest.problems import FieldError, not_found
from retl.rest.requests.bodies import invalid

_BARE = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WHAT: dict[Prefix, str] = {
    "retl_sync": "such sync",
    "retl_run": "such run",
    "retl_dlq": "such entry",
    "conn": "such connection",
}


def known(text: str, prefix: Prefix) -> UUID | None:
    """The uid that a text stands for; None if it is no id of that kind."""
    if _BARE.fullmatch(text):
        return UUID(text)
    try:
        return uid_of(text, prefix)
    except InvalidInput:
        return None


def in_path(text: str, prefix: Prefix) -> UUID:
    """The uid of an id in a path (raises Problem 404)."""
    if (uid := known(text, prefix)) is None:
        raise not_found(_WHAT[prefix])
    return uid


def in_body(text: str, prefix: Prefix, field: str) -> UUID:
    """The uid of an id in a field of a body (raises Problem 422)."""
    if (uid := known(text, prefix)) is None:
        raise invalid([FieldError(_expected(prefix), pointer=f"/{field}")])
    return uid


def all_in_body(texts: Sequence[str], prefix: Prefix, field: str) -> list[UUID]:
    """The uids of a list of ids in a body, in that order (raises Problem 422 with all that are none)."""
    uids = [known(text, prefix) for text in texts]
    if wrong := [index for index, uid in enumerate(uids) if uid is None]:
        raise invalid([FieldError(_expected(prefix), pointer=f"/{field}/{index}") for index in wrong])
    return [uid for uid in uids if uid is not None]


def in_query(text: str | None, prefix: Prefix, parameter: str) -> UUID | None:
    """The uid of an id in a query parameter; None where it was not sent (raises Problem 422)."""
    if text is None:
        return None
    if (uid := known(text, prefix)) is None:
        raise invalid([FieldError(_expected(prefix), parameter=parameter)])
    return uid


def destination(text: str) -> UUID | str:
    """The uid of a destination; where the text is no id, the words by which the service may know it."""
    return known(text, "conn") or text


def _expected(prefix: Prefix) -> str:
    return f"must be an id that begins with {prefix}_"
