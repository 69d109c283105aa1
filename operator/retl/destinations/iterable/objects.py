"""What a sync writes in Iterable, and how the calls for it are made: users, list members, catalog items, events.

Pure. In mode append, the object is the name of an event; else it is `users`, `lists/ID` or `catalogs/NAME`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote

import orjson

from retl.destinations.base import Target
from retl.destinations.iterable.config import IterableConfig
from retl.errors import DestinationError

EMAIL, USER_ID = "email", "userId"
IDENTITIES = (EMAIL, USER_ID)
EVENT_FIELDS = frozenset({*IDENTITIES, "eventName", "id", "createdAt", "campaignId", "templateId"})
"""Fields of an event that are its own; all others are data."""
ITEM_ID = re.compile(r"[A-Za-z0-9-]{1,255}")
EVENT_ID_BYTES = 512

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the engine gave it.

    Attributes:
        identity: what Iterable tells it by, as its replies do: the user of an event, too.
        id: of an event.
    """

    identity: str
    fields: Json
    id: str = ""

    @property
    def same(self) -> str:
        """Records for which this is equal are one for Iterable."""
        return self.identity.strip().lower() if "@" in self.identity else self.identity


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the API."""

    method: str
    path: str
    json: Any = None


@dataclass(frozen=True, slots=True)
class Kind(ABC):
    """One kind of objects.

    Attributes:
        key: field that holds what records are told by.
    """

    config: IterableConfig
    key: str

    named_by_user: ClassVar[bool] = True
    """Whether replies name records by their users."""
    one_each: ClassVar[bool] = True
    """Whether a call takes an identity only once."""
    deleted_singly: ClassVar[bool] = False
    """Whether each record is deleted by a call of its own."""

    @abstractmethod
    def write(self, records: Sequence[Record]) -> Call:
        """The call that writes them."""

    def delete(self, records: Sequence[Record]) -> list[Call]:
        """The calls that delete them: one, or one for each."""
        raise NotImplementedError

    def problem(self, record: Record) -> str:
        """Why a record cannot be sent; empty if it can."""
        return "" if record.identity.strip() else f"{self.key}, by which Iterable finds the record, is empty"

    def record(self, payload: bytes, event_id: str) -> Record:
        """The engine's record.

        Args:
            event_id: the id that the engine gave it; the same whenever it is sent.
        """
        fields = orjson.loads(payload)
        return Record(_text(fields.get(self.key)), fields, event_id)


class Users(Kind):
    """Users of the project."""

    deleted_singly = True

    def write(self, records: Sequence[Record]) -> Call:
        json = {"users": [self.user(each) for each in records], "createNewFields": self.config.create_new_fields}
        return Call("POST", "/api/users/bulkUpdate", json)

    def delete(self, records: Sequence[Record]) -> list[Call]:
        by = "byUserId/" if self.key == USER_ID else ""
        return [Call("DELETE", f"/api/users/{by}{quote(each.identity, safe='')}") for each in records]

    def user(self, record: Record) -> Json:
        """A user as calls have it: who it is, and its data."""
        who = {name: _text(record.fields[name]) for name in IDENTITIES if record.fields.get(name) not in (None, "")}
        data = {name: value for name, value in record.fields.items() if name not in IDENTITIES}
        made = {**who, "dataFields": data, "mergeNestedObjects": self.config.merge_nested_objects}
        return made | ({"preferUserId": True} if self.key == USER_ID else {})


@dataclass(frozen=True, slots=True)
class Members(Users):
    """Users that are members of a list."""

    list_id: int

    deleted_singly = False

    def write(self, records: Sequence[Record]) -> Call:
        json = {"listId": self.list_id, "subscribers": [self.user(each) for each in records]}
        return Call("POST", "/api/lists/subscribe", json)

    def delete(self, records: Sequence[Record]) -> list[Call]:
        subscribers = [{self.key: each.identity} for each in records]
        return [Call("POST", "/api/lists/unsubscribe", {"listId": self.list_id, "subscribers": subscribers})]


@dataclass(frozen=True, slots=True)
class Items(Kind):
    """Items of a catalog. Iterable writes them after it has answered, and names none of them."""

    catalog: str

    named_by_user = False

    @property
    def path(self) -> str:
        """Where they are."""
        return f"/api/catalogs/{quote(self.catalog, safe='')}/items"

    def write(self, records: Sequence[Record]) -> Call:
        documents = {
            each.identity: {name: value for name, value in each.fields.items() if name != self.key} for each in records
        }
        replaces = {"replaceUploadedFieldsOnly": not self.config.replace_items}
        return Call("POST", self.path, {"documents": documents, **replaces})

    def delete(self, records: Sequence[Record]) -> list[Call]:
        return [Call("DELETE", self.path, {"itemIds": [each.identity for each in records]})]

    def problem(self, record: Record) -> str:
        if not ITEM_ID.fullmatch(record.identity):
            return f"{self.key}: the id of a catalog item is letters, digits and dashes, at most 255"
        if any("." in name for name in _names(record.fields)):
            return "a catalog item can have no field with a period in its name"
        return ""


@dataclass(frozen=True, slots=True)
class Events(Kind):
    """Events of users. Their ids are the engine's, unless the mappings have some."""

    name: str

    one_each = False

    def record(self, payload: bytes, event_id: str) -> Record:
        fields = orjson.loads(payload)
        return Record(_text(fields.get(self.key)), fields, _text(fields.get("id")) or event_id)

    def write(self, records: Sequence[Record]) -> Call:
        return Call("POST", "/api/events/trackBulk", {"events": [self._event(each) for each in records]})

    def problem(self, record: Record) -> str:
        if len(record.id.encode()) > EVENT_ID_BYTES:
            return f"id: an event's id is at most {EVENT_ID_BYTES} bytes"
        if record.fields.get("createdAt") is not None and _seconds(record.fields["createdAt"]) is None:
            return "createdAt is no time: neither seconds since 1970 nor ISO 8601"
        return Kind.problem(self, record)

    def event_name(self, record: Record) -> str:
        """What an event is called."""
        return _text(record.fields.get("eventName")) or self.name

    def _event(self, record: Record) -> Json:
        own = {
            name: record.fields[name] for name in EVENT_FIELDS & record.fields.keys() if record.fields[name] is not None
        }
        event = {**own, "eventName": self.event_name(record), self.key: record.identity}
        if record.id:
            event["id"] = record.id
        if "createdAt" in event:
            event["createdAt"] = _seconds(event["createdAt"])
        data = {name: value for name, value in record.fields.items() if name not in EVENT_FIELDS}
        return {**event, "dataFields": data, "createNewFields": self.config.create_new_fields}


def kind_of(target: Target, config: IterableConfig) -> Kind:
    """What a sync writes (raises DestinationError)."""
    if target.mode == "append":
        users = [name for name in IDENTITIES if name in target.fields]
        if not users:
            raise DestinationError("mappings: an event needs the user's email or userId")
        return Events(config, users[0], target.object)
    if len(target.key) != 1:
        keys = ", ".join(target.key) or "none"
        raise DestinationError(f"Iterable finds records by one field, and the mappings have as keys: {keys}")
    [key] = target.key
    if catalog := re.fullmatch(r"catalogs/(.+)", target.object):
        return Items(config, key, catalog[1])
    if key not in IDENTITIES:
        raise DestinationError(f"mappings: users are found by email or userId, and the key is {key}")
    if target.object == "users":
        return Users(config, key)
    if members := re.fullmatch(r"lists/([0-9]{1,15})", target.object):
        return Members(config, key, int(members[1]))
    raise DestinationError(
        f"object: {target.object!r} is none of users, lists/ID and catalogs/NAME; an event's name needs mode append"
    )


def _seconds(value: Any) -> int | None:
    """Seconds since 1970 of a moment; without a zone, in UTC."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _names(fields: Mapping[str, Any]) -> list[str]:
    """The names of fields, those of objects in them included."""
    nested = [value for value in fields.values() if isinstance(value, dict)]
    return [*fields, *(name for each in nested for name in _names(each))]


def _text(value: Any) -> str:
    return "" if value is None else str(value)
