"""What an endpoint holds: records by a field's values, its objects, their fields; read page by page."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from retl.destinations.base import FieldInfo, LookupRequest
from retl.destinations.http.calls import endpoint_name, with_query
from retl.destinations.http.client import Client
from retl.destinations.http.pages import first_page, next_page
from retl.destinations.http.paths import field_at, list_path
from retl.destinations.http.reading import HttpFields, HttpLookup, HttpObjects, HttpPages
from retl.destinations.http.shapes import OF_LOOKUP
from retl.destinations.http.templates import Fit, Json, Number, as_json, compiled, exactly, plain, rendered, text
from retl.errors import DestinationError


@dataclass(frozen=True, slots=True)
class Asked:
    """What the placeholders of a lookup stand for.

    Attributes:
        values: JSON texts.
    """

    pattern: ClassVar[re.Pattern[str]] = OF_LOOKUP

    request: LookupRequest
    values: Sequence[bytes]
    separator: str

    def json(self, name: str) -> bytes:
        """As a value in JSON."""
        if name == "values":
            return b"[" + b",".join(self.values) + b"]"
        return self.values[0] if name == "value" else as_json(self._named(name))

    def text(self, name: str, where: str, fit: Fit) -> str:
        """As part of a text."""
        if name in ("value", "values"):
            texts = [_text(exactly(value)) for value in self.values]
            return self.separator.join(fit(each) or "" for each in texts)
        return fit(self._named(name)) or ""

    def _named(self, name: str) -> str:
        request = self.request
        return {"object": request.object, "matchField": request.match_field, "returnField": request.return_field}[name]


async def found(
    client: Client, lookup: HttpLookup, request: LookupRequest, values: Sequence[bytes]
) -> dict[bytes, bytes]:
    """What records hold in one field, by their value of another (raises as `Destination.lookup`)."""
    size = 1 if lookup.single else lookup.at_once
    answers: dict[bytes, bytes] = {}
    for at in range(0, len(values), size):
        group = values[at : at + size]
        wanted: dict[str, list[bytes]] = {}
        for value in group:
            wanted.setdefault(_name(exactly(value), lookup.ignore_case), []).append(value)
        async for record in _records(client, lookup, Asked(request, group, lookup.separator)):
            held = field_at(record, request.return_field)
            if held is not None:
                named = _name(field_at(record, request.match_field), lookup.ignore_case)
                answers.update(dict.fromkeys(wanted.get(named, ()), as_json(held)))
    return answers


async def object_names(client: Client, objects: HttpObjects) -> list[str]:
    """The names of all objects (raises as `Destination.write`)."""
    listing = _Listing(endpoint_name("GET", objects.url), "config.discovery.objects", objects.list, objects.pages)
    names = [field_at(item, objects.name) async for item in listing.items(client, objects.url)]
    return [_text(name) for name in names if name is not None]


async def fields_of(client: Client, fields: HttpFields, name: str) -> list[FieldInfo]:
    """The fields of one object (raises as `Destination.write`; DestinationError if there is no such object)."""
    url = fields.url.replace("{object}", quote(name, safe=""))
    where = endpoint_name("GET", url)
    missing = DestinationError(f"{where} says that there is no object {name!r}; correct object")
    listing = _Listing(where, "config.discovery.fields", fields.list, fields.pages, missing=missing)
    return [
        FieldInfo(
            _text(field_at(item, fields.name)),
            _text(field_at(item, fields.type)),
            read_only=field_at(item, fields.read_only) is True,
            required=field_at(item, fields.required) is True,
        )
        async for item in listing.items(client, url)
        if field_at(item, fields.name) is not None
    ]


def _records(client: Client, lookup: HttpLookup, asked: Asked) -> AsyncIterator[Json]:
    """The records of one call of a lookup."""
    url = text(lookup.url, asked, "a URL", _quoted)
    if lookup.query:
        url = with_query(url, {name: text(held, asked, "a query") for name, held in lookup.query.items()})
    content = rendered(compiled(lookup.body, OF_LOOKUP), asked) if lookup.body is not None else None
    where = endpoint_name(lookup.method, lookup.url)  # without values, which may stand in its path
    listing = _Listing(where, "config.lookup", lookup.list, lookup.pages, alone=lookup.single)
    return listing.items(client, url, lookup.method, content)


@dataclass(frozen=True, slots=True)
class _Listing:
    """A list over all its pages.

    Attributes:
        where: how messages name the call.
        setting: what to correct.
        alone: an object that stands where the list is due is its only item, and 404 an empty list.
        missing: what 404 means otherwise.
    """

    where: str
    setting: str
    path: str
    pages: HttpPages | None
    alone: bool = False
    missing: DestinationError | None = None

    async def items(
        self, client: Client, url: str, method: str = "GET", content: bytes | None = None
    ) -> AsyncIterator[Json]:
        """The items, page by page (raises TryLater, LoginRefused, DestinationError)."""
        following: str | None = first_page(self.pages, url)
        may_miss = self.alone or self.missing is not None
        read = had = 0
        while following is not None:
            page = following
            reply = await client.read(
                self.where, page, method, content, setting=f"{self.setting}.url", may_miss=may_miss
            )
            if reply.status in (404, 410):
                if self.missing is not None:
                    raise self.missing
                return
            body = self._parsed(reply.body)
            items = self._list(body)
            for item in items:
                yield item
            read, had, following = read + 1, had + len(items), None
            if self.pages is not None:
                try:
                    following = next_page(self.pages, page, reply.headers, body, read=read, items=len(items), had=had)
                except DestinationError as error:
                    raise DestinationError(f"{self.where}: {error}, at {self.setting}.pages") from None

    def _parsed(self, body: bytes) -> Json:
        try:
            return exactly(body)
        except (ValueError, RecursionError):
            raise DestinationError(f"{self.where} answered with a body that is no JSON") from None

    def _list(self, body: Json) -> list[Json]:
        there = list_path(self.path).find(body)
        if there and isinstance(there[0], list):
            return there[0]
        if there and self.alone:
            return [] if there[0] is None else [there[0]]
        at = f"at {self.path}" if self.path else "as its whole body"
        raise DestinationError(f"{self.where} answered without a list {at}; correct {self.setting}.list")


def _quoted(value: str) -> str:
    return quote(value, safe="")


def _text(value: Json) -> str:
    return "" if value is None else as_json(value).decode() if isinstance(value, dict | list) else plain(value)


def _name(value: Json, ignore_case: bool) -> str:
    """A value to compare with others: the numbers 7 and 7.0 are the same, and so are 7 and the text `7`."""
    named = _text(value)
    if isinstance(value, Number) and re.fullmatch(r"-?[0-9]+\.[0-9]+", named):
        named = named.rstrip("0").rstrip(".")
    return named.casefold() if ignore_case else named
