"""Values that are looked up, objects and fields that are listed, and lists that come in pages."""

from collections.abc import Mapping
from typing import Any

import pytest

from retl.destinations.base import LoginRefused, LookupRequest, TryLater
from retl.destinations.http.config import HttpConfig, http_capabilities
from retl.destinations.http.pages import first_page, next_page
from retl.destinations.http.reading import HttpPages
from retl.errors import DestinationError, DestinationUnavailable
from tests.destinations.http.calling import connector
from tests.destinations.simulators.base import Fault
from tests.destinations.simulators.http import RestApi

LOGIN = {"token": "test-token"}
BY_EMAIL = LookupRequest("owners", "email", "id")
OWNERS: Mapping[str, Any] = {
    f"o{number}": {"id": f"o{number}", "email": f"{name}@x", "number": number, "score": 1.50}
    for number, name in enumerate(("ann", "bob", "cy", "dee", "eve"))
}


def found_by_link(api: RestApi, **more: Any) -> dict[str, Any]:
    query = {"field": "{matchField}", "values": "{values}"}
    return {"url": f"{api.url}/{{object}}/find", "query": query, "pages": {"by": "link"}, **more}


async def look_up(api: RestApi, lookup: dict[str, Any], *values: bytes, request: LookupRequest = BY_EMAIL) -> Any:
    api.records["owners"] = dict(OWNERS)
    async with connector({"url": f"{api.url}/any/x", "lookup": lookup}, LOGIN) as made:
        return await made.lookup(request, values)


async def test_values_are_looked_up_many_at_once_over_all_pages(api: RestApi) -> None:
    values = [f'"{name}@x"'.encode() for name in ("ann", "bob", "cy", "dee", "nobody")]
    found = await look_up(api, found_by_link(api), *values)
    assert found == {value: f'"o{number}"'.encode() for number, value in enumerate(values[:4])}
    assert [query.get("from") for query in api.query] == [None, "2"]


async def test_no_call_asks_for_more_values_than_the_endpoint_takes(api: RestApi) -> None:
    values = [f'"{name}@x"'.encode() for name in ("ann", "bob", "cy")]
    assert len(await look_up(api, found_by_link(api, atOnce=2), *values)) == 3
    assert [query["values"] for query in api.query] == ["ann@x,bob@x", "cy@x"]


async def test_one_value_a_call_may_stand_in_the_path(api: RestApi) -> None:
    by_id = LookupRequest("owners", "id", "number")
    lookup = {"url": f"{api.url}/{{object}}/by/{{value}}"}
    assert await look_up(api, lookup, b'"o1"', b'"o9"', b'"a/b"', request=by_id) == {b'"o1"': b"1"}


async def test_a_search_takes_its_values_in_a_body_as_they_are(api: RestApi) -> None:
    lookup = {
        "url": f"{api.url}/{{object}}/search",
        "method": "POST",
        "body": {"where": {"field": "{matchField}", "in": "{values}"}},
        "list": "$.data.hits[*]",
    }
    by_number = LookupRequest("owners", "number", "score")
    assert await look_up(api, lookup, b"1", b"3", b"77", request=by_number) == {b"1": b"1.5", b"3": b"1.5"}
    assert api.bodies == [{"where": {"field": "number", "in": [1, 3, 77]}}]


@pytest.mark.parametrize(("ignore", "found"), [(True, {b'"ANN@x"': b'"o0"'}), (False, {})])
async def test_case_counts_unless_it_is_said_that_it_does_not(api: RestApi, ignore: bool, found: Any) -> None:
    lookup = {"url": f"{api.url}/{{object}}/by/o0", "query": {"q": "{value}"}, "ignoreCase": ignore}
    assert await look_up(api, lookup, b'"ANN@x"') == found


@pytest.mark.parametrize(
    ("lookup", "error", "words"),
    [
        (
            {"url": "{api}/nowhere", "query": {"v": "{values}"}},
            DestinationError,
            "answered 404; correct config.lookup.url",
        ),
        ({"url": "{api}/owners/by/o1", "query": {"v": "{values}"}}, DestinationError, "without a list as its whole"),
        ({"url": "{api}/owners/by/o1", "query": {"v": "{value}"}, "list": "$.data"}, DestinationError, "at $.data"),
    ],
)
async def test_a_lookup_that_is_set_wrong_is_told_and_misses_nothing_silently(
    api: RestApi, lookup: dict[str, Any], error: type[Exception], words: str
) -> None:
    lookup = {**lookup, "url": lookup["url"].replace("{api}", api.url)}
    with pytest.raises(error) as raised:
        await look_up(api, lookup, b'"s3cret@x"')
    assert words in str(raised.value)
    assert "s3cret" not in str(raised.value)


async def test_values_stay_out_of_what_is_said_of_a_lookup(api: RestApi) -> None:
    api.faults.next.append(Fault(503))
    with pytest.raises(TryLater) as raised:
        await look_up(api, {"url": f"{api.url}/{{object}}/by/{{value}}"}, b'"s3cret@x"')
    assert str(raised.value) == f"GET {api.url}/{{object}}/by/{{value}} answered 503"


async def test_reads_have_the_headers_of_all_calls_and_their_rules(api: RestApi) -> None:
    config = {
        **discovery(api),
        "body": "object",
        "headers": {"X-Tenant": "t1", "X-Record": "{record.id}"},
        "rules": [{"statuses": [403], "path": "$.code", "values": ["QUOTA"], "means": "rateLimit"}],
    }
    async with connector(config, LOGIN) as made:
        await made.describe("accounts", "upsert")
        api.faults.next.append(Fault(403, {}, {"code": "QUOTA"}))
        with pytest.raises(DestinationUnavailable):
            await made.describe("accounts", "upsert")
    assert api.tenants == ["t1"] * 2


async def test_a_mapping_that_looks_up_needs_the_setting(api: RestApi) -> None:
    async with connector({"url": f"{api.url}/any/x"}, LOGIN) as made:
        with pytest.raises(DestinationError, match="set it, or remove lookup"):
            await made.lookup(BY_EMAIL, [b"1"])


def discovery(api: RestApi) -> dict[str, Any]:
    return {
        "url": f"{api.url}/any/x",
        "discovery": {
            "objects": {
                "url": f"{api.url}/meta/objects",
                "list": "objects",
                "name": "label",
                "pages": {"by": "page", "parameter": "page"},
            },
            "fields": {
                "url": f"{api.url}/meta/objects/{{object}}",
                "list": "$.fields",
                "name": "key",
                "type": "kind",
                "required": "needed",
                "readOnly": "computed",
                "pages": {"by": "cursor", "path": "$.paging.after", "parameter": "after"},
            },
        },
    }


async def test_objects_and_fields_are_listed_over_all_pages(api: RestApi) -> None:
    async with connector(discovery(api), LOGIN) as made:
        assert [each.name for each in await made.objects() or ()] == ["accounts", "orders", "notes"]
        fields = await made.describe("accounts", "upsert")
        assert fields == await made.fields()
    assert [(f.name, f.type, f.required, f.read_only) for f in fields or ()] == [
        ("id", "text", True, False),
        ("name", "text", False, False),
        ("score", "number", False, True),
    ]


async def test_an_object_that_is_not_there_is_told(api: RestApi) -> None:
    async with connector(discovery(api), LOGIN) as made:
        with pytest.raises(DestinationError, match="there is no object 'deals'"):
            await made.describe("deals", "upsert")


@pytest.mark.parametrize(
    ("status", "error"), [(401, LoginRefused), (503, DestinationUnavailable), (429, DestinationUnavailable)]
)
async def test_a_check_says_what_is_wrong(api: RestApi, status: int, error: type[Exception]) -> None:
    async with connector(discovery(api), LOGIN) as made:
        for look in (made.objects(), made.describe("accounts", "upsert")):
            api.faults.next.append(Fault(status))
            with pytest.raises(error, match=str(status)):
                await look


def test_what_is_offered_follows_the_settings() -> None:
    plain = HttpConfig.model_validate({"url": "http://crm"})
    api = RestApi()
    api.url = "http://crm"
    full = HttpConfig.model_validate({**discovery(api), "lookup": found_by_link(api), "maxRecords": 100, "maxBytes": 9})
    assert [(c.describes, c.lookups) for c in map(http_capabilities, (plain, full))] == [(False, False), (True, True)]
    assert (http_capabilities(full).default_batch, http_capabilities(full).max_batch) == (100, 100)
    assert http_capabilities(full).max_bytes == 9


URL = "https://crm.example/list?size=2"


def following(pages: dict[str, Any], body: Any = None, *, link: str = "", read: int = 1, items: int = 2) -> str | None:
    return next_page(HttpPages.model_validate(pages), URL, {"link": link}, body, read=read, items=items, had=read * 2)


@pytest.mark.parametrize(
    ("pages", "body", "link", "wanted"),
    [
        ({"by": "link"}, None, '<https://crm.example/list?p=2>; rel="next"', "https://crm.example/list?p=2"),
        (
            {"by": "link"},
            None,
            '</a,b>; title="x, y"; rel=prev, <?p=3>; rel="last next"',
            "https://crm.example/list?p=3",
        ),
        ({"by": "link"}, None, '</a>; rel="prev"', None),
        ({"by": "link"}, None, "", None),
        ({"by": "next", "path": "$.next"}, {"next": "/list?p=2"}, "", "https://crm.example/list?p=2"),
        ({"by": "next", "path": "$.next"}, {"next": None}, "", None),
        ({"by": "next", "path": "$.next"}, {}, "", None),
        ({"by": "cursor", "path": "$.c", "parameter": "after"}, {"c": "a&b"}, "", f"{URL}&after=a%26b"),
        ({"by": "cursor", "path": "$.c", "parameter": "after"}, {"c": ""}, "", None),
        ({"by": "page", "parameter": "page"}, [], "", f"{URL}&page=2"),
        ({"by": "page", "parameter": "page", "first": 0}, [], "", f"{URL}&page=1"),
        ({"by": "offset", "parameter": "from"}, [], "", f"{URL}&from=2"),
    ],
)
def test_where_the_next_page_is(pages: dict[str, Any], body: Any, link: str, wanted: str | None) -> None:
    assert following(pages, body, link=link) == wanted


def test_an_empty_page_is_the_last_one_where_pages_are_counted() -> None:
    assert following({"by": "page", "parameter": "page"}, [], items=0) is None


def test_a_parameter_that_urls_write_otherwise_is_replaced_from_page_to_page() -> None:
    pages = HttpPages(by="page", parameter="page[number]")
    first = first_page(pages, URL)
    second = next_page(pages, first, {}, [], read=1, items=2, had=2)
    assert second == next_page(pages, URL, {}, [], read=1, items=2, had=2)


def test_pages_count_from_where_the_endpoint_does() -> None:
    pages = HttpPages(by="page", parameter="page", first=0)
    assert first_page(pages, URL) == f"{URL}&page=0"
    assert first_page(None, URL) == URL


@pytest.mark.parametrize(
    ("pages", "body", "read", "words"),
    [
        ({"by": "next", "path": "$.next"}, {"next": "https://evil.example/list"}, 1, "of another server"),
        ({"by": "next", "path": "$.next"}, {"next": "http://crm.example/list"}, 1, "of another server"),
        ({"by": "next", "path": "$.next"}, {"next": "//evil.example/list"}, 1, "of another server"),
        ({"by": "next", "path": "$.next"}, {"next": URL}, 1, "names itself"),
        ({"by": "page", "parameter": "page", "most": 3}, [], 3, "more than 3 pages"),
    ],
)
def test_pages_lead_nowhere_else_and_end(pages: dict[str, Any], body: Any, read: int, words: str) -> None:
    with pytest.raises(DestinationError, match=words):
        following(pages, body, read=read)
