"""Public ids of objects: a prefix that says what it is, and the object's uid in 26 characters (TypeID).

Nothing is stored: an id is another way to write `metadata.uid`, so it can always be turned back.
"""

from typing import Literal
from uuid import UUID

from typeid import TypeID
from typeid.errors import TypeIDException

from retl.errors import InvalidInput

Prefix = Literal["retl_sync", "retl_run", "conn", "retl_dlq"]
"""A sync, a run, a connection (source or destination), a dead letter."""


def type_id(prefix: Prefix, uid: UUID | str) -> str:
    """Write a uid as an id: `retl_sync_768nt4d9xm9vfrc9q1q6krp2y3`.

    Raises:
        InvalidInput: the text is not a UUID.
    """
    return str(TypeID.from_uuid(_uuid(uid), prefix))  # type: ignore[arg-type]  # it reads nothing but .bytes


def uid_of(text: str, prefix: Prefix) -> UUID:
    """The uid that an id of that kind stands for.

    Raises:
        InvalidInput: the id is of another kind, or malformed.
    """
    try:
        parsed = TypeID.from_string(text)
    except TypeIDException:
        raise InvalidInput(f"{text!r} is not an id; expected {prefix}_ and 26 letters and digits") from None
    if parsed.prefix != prefix:
        raise InvalidInput(f"{text!r} is not an id of this kind; expected one that begins with {prefix}_")
    return UUID(int=parsed.uuid.int)


def _uuid(uid: UUID | str) -> UUID:
    if isinstance(uid, UUID):
        return uid
    try:
        return UUID(uid)
    except ValueError:
        raise InvalidInput(f"{uid!r} is not a UUID, as metadata.uid is") from None
