"""What is sent for a record: templates of URL, query, headers and body, and the three formats."""

import json
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retl.destinations.base import ACKNOWLEDGED, BatchRejected, Rejected
from retl.destinations.http.templates import OfCall, compiled, rendered, text
from retl.destinations.registry import DESTINATIONS
from retl.errors import DestinationError, InvalidInput
from tests.destinations.http.calling import connector, send
from tests.destinations.simulators.http import RestApi

LOGIN = {"token": "test-token"}
JANE = {"id": 7, "name": "Jane & Søn"}


async def one(api: RestApi, config: dict[str, Any], record: Any = JANE, **more: Any) -> Any:
    """The body that one record makes."""
    fields = ("id", "name", "address", "tags", "revenue", "active")
    async with connector({"url": f"{api.url}/any/things", **config}, LOGIN, fields=fields) as made:
        assert await send(made, record, **more) == [ACKNOWLEDGED]
    return api.bodies[-1]


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ({"data": "{record}"}, {"data": JANE}),
        ({"data": {"type": "{object}", "id": "{key}", "attributes": "{record}"}}, None),
        ({"title": "{object}/{record.id}: {record.name}"}, {"title": "accounts/7: Jane & Søn"}),
        (
            {"query": "mutation ($input: X!) { put(input: $input) { ok } }", "variables": {"input": "{record}"}},
            {"query": "mutation ($input: X!) { put(input: $input) { ok } }", "variables": {"input": JANE}},
        ),
        ({"do": "{operation}", "n": "{record.id}", "list": [1, None, True, "{record}"]}, None),
    ],
)
async def test_a_body_template_is_filled_with_json(api: RestApi, template: Any, body: Any) -> None:
    sent = await one(api, {"body": "object", "bodyTemplate": template})
    wanted = {
        "{record}": JANE, "{object}": "accounts", "{key}": 7, "{record.id}": 7, "{operation}": "upsert"
    }  # fmt: skip
    assert sent == (body or _replaced(template, wanted))


def _replaced(node: Any, values: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        return {name: _replaced(held, values) for name, held in node.items()}
    if isinstance(node, list):
        return [_replaced(held, values) for held in node]
    return values.get(node, node) if isinstance(node, str) else node


async def test_each_record_of_a_list_is_sent_as_its_template_says(api: RestApi) -> None:
    config = {
        "recordTemplate": {"key": "{record.id}", "fields": "{record}", "mark": "#{record.id}"},
        "bodyTemplate": {"records": "{records}", "typecast": True},
    }
    async with connector({"url": f"{api.url}/any/things", **config}, LOGIN) as made:
        await send(made, {"id": 1, "name": "a"}, {"id": 2, "name": "b"})
    assert api.bodies == [
        {
            "records": [
                {"key": 1, "fields": {"id": 1, "name": "a"}, "mark": "#1"},
                {"key": 2, "fields": {"id": 2, "name": "b"}, "mark": "#2"},
            ],
            "typecast": True,
        }
    ]


async def test_numbers_go_through_templates_as_they_are_written(api: RestApi) -> None:
    record = '{"id":12345678901234567890123,"name":"x","revenue":1.50}'
    await one(api, {"body": "object", "recordTemplate": {"id": "{record.id}", "r": "{record.revenue}"}}, record)
    assert api.requests[-1][1] == b'{"id":12345678901234567890123,"r":1.50}'


async def test_what_is_put_in_is_never_read_as_a_template(api: RestApi) -> None:
    record = {"id": 1, "name": '{record.id}","admin":true,"x":"{object}'}
    sent = await one(api, {"body": "object", "bodyTemplate": {"n": "{record.name}", "t": "<{record.name}>"}}, record)
    assert sent == {"n": record["name"], "t": f"<{record['name']}>"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "{record}", "b c"]), below),
    max_leaves=6,
)


@given(VALUES)
def test_no_value_is_ever_more_than_a_value(value: Any) -> None:
    payload = json.dumps({"id": 1, "name": value}).encode()
    known = OfCall("accounts", "upsert", "id", "call-1", (payload,))
    template = {"n": "{record.name}", "r": ["{record}", "{records}"], "o": "{object}"}
    filled = json.loads(rendered(compiled(template), known))
    record = {"id": 1, "name": value}
    assert filled == {"n": value, "r": [record, [record]], "o": "accounts"}
    if isinstance(value, str) and value:
        assert json.loads(rendered(compiled({"t": "<{record.name}>"}), known)) == {"t": f"<{value}>"}
        url = urlsplit(text("https://crm/x/{record.name}?q={record.name}", known, "a URL", lambda v: quote(v, safe="")))
        assert (url.path, url.query) == (f"/x/{quote(value, safe='')}", f"q={quote(value, safe='')}")
        assert not url.fragment


async def test_url_query_and_headers_take_fields_of_the_record(api: RestApi) -> None:
    config = {
        "url": f"{api.url}/any/{{record.id}}?v=1",
        "body": "object",
        "query": {"name": "{record.name}", "kind": "{object}"},
        "headers": {"X-Id": "{record.id}", "X-Call": "{callId}", "content-type": "application/vnd.x+json"},
    }
    await one(api, config, {"id": "a/b c", "name": "x&y=z"}, ids=["call-1"])
    [call] = [call for call in api.calls if call.path.startswith("/any")]
    headers, _ = api.requests[-1]
    assert call.path == "/any/a/b c"
    assert api.query == [{"v": "1", "name": "x&y=z", "kind": "accounts"}]
    assert (headers["x-id"], headers["x-call"]) == ("a/b c", "call-1")
    assert headers["content-type"] == "application/vnd.x+json"


@pytest.mark.parametrize("name", ["a\r\nX-Admin: 1", "Søn", None, "", ["x"], {"x": 1}])
async def test_a_value_that_no_header_can_hold_is_refused_before_anything_is_sent(api: RestApi, name: Any) -> None:
    config = {"url": f"{api.url}/any/x", "body": "object", "headers": {"X-Name": "{record.name}"}}
    async with connector(config, LOGIN) as made:
        refused = Rejected("DESTINATION_VALIDATION", "name holds nothing that a header can name")
        assert await send(made, {"id": 1, "name": name}) == [refused]
    assert api.requests == []


async def test_of_many_records_the_one_that_lacks_a_field_is_found(api: RestApi) -> None:
    async with connector({"url": f"{api.url}/any/x", "recordTemplate": {"t": "n {record.name}"}}, LOGIN) as made:
        with pytest.raises(BatchRejected, match="name holds nothing that a text can name"):
            await send(made, {"id": 1, "name": "a"}, {"id": 2, "name": None})
        assert await send(made, {"id": 2}) == [
            Rejected("DESTINATION_VALIDATION", "name holds nothing that a text can name")
        ]
    assert api.requests == []


async def test_ndjson_is_a_record_a_line(api: RestApi) -> None:
    async with connector({"url": f"{api.url}/any/x", "format": "ndjson"}, LOGIN) as made:
        await send(made, {"id": 1, "name": "a\nb"}, '{"id": 2,\n "name": {\r\n"x": 1}}')
    assert api.bodies == [[{"id": 1, "name": "a\nb"}, {"id": 2, "name": {"x": 1}}]]
    assert api.requests[0][1].count(b"\n") == 2


async def test_a_form_names_what_is_nested_and_keeps_every_digit(api: RestApi) -> None:
    record = '{"id":1,"name":"a&b=ü","address":{"city":"Wien"},"tags":["x",{"y":null}],"revenue":1.50,"active":true}'
    assert await one(api, {"format": "form", "body": "object"}, record) == [
        ("id", "1"),
        ("name", "a&b=ü"),
        ("address[city]", "Wien"),
        ("tags[0]", "x"),
        ("tags[1][y]", ""),
        ("revenue", "1.50"),
        ("active", "true"),
    ]
    assert api.requests[-1][0]["content-type"] == "application/x-www-form-urlencoded"


async def test_an_operation_may_have_templates_of_its_own(api: RestApi) -> None:
    config = {
        "url": f"{api.url}/any/x",
        "query": {"a": "1"},
        "headers": {"X-A": "1"},
        "bodyTemplate": {"put": "{records}"},
        "operations": {
            "delete": {
                "query": {"b": "2"},
                "headers": {"x-a": "2"},
                "bodyTemplate": {"gone": "{records}"},
                "recordTemplate": {"id": "{record.id}"},
            }
        },
    }
    async with connector(config, LOGIN, mode="mirror") as made:
        await send(made, {"id": 1, "name": "a"})
        await send(made, {"id": 1}, operation="delete")
    assert api.bodies == [{"put": [{"id": 1, "name": "a"}]}, {"gone": [{"id": 1}]}]
    assert api.query == [{"a": "1"}, {"b": "2"}]
    assert [headers["x-a"] for headers, _ in api.requests] == ["1", "2"]


@pytest.mark.parametrize(
    ("config", "mode", "words"),
    [
        (
            {"recordTemplate": {"e": "{record.emial}"}},
            "upsert",
            "no mapping writes {record.emial}; records have id, na",
        ),
        (
            {"recordTemplate": {"n": "{record.name}"}, "operations": {"delete": {}}},
            "mirror",
            "no mapping writes {record.name}; records have id, of which deletes have the keys only",
        ),
    ],
)
async def test_a_template_that_names_no_field_is_told_before_the_run(
    config: dict[str, Any], mode: str, words: str
) -> None:
    with pytest.raises(DestinationError) as raised:
        async with connector({"url": "http://127.0.0.1:9/x", **config}, mode=mode):
            pass
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"url": "http://{record.host}/x", "body": "object"}, "config.url: may have placeholders in its path"),
        ({"url": "http://crm/{record.id}"}, "{record.id} in a url needs body: object"),
        ({"url": "http://crm/{recrod.id}", "body": "object"}, "config.url: {object}, {operation}"),
        ({"query": {"x": "{records}"}}, "are the only placeholders"),
        ({"headers": {"X": "{record}"}, "body": "object"}, "{record} and {records} stand in bodies only"),
        ({"headers": {"X": "a\nb"}}, "config.headers.X: values of headers are printable"),
        ({"headers": {"X Y": "a"}}, "a header's name has letters"),
        ({"bodyTemplate": {"x": 1}}, "bodyTemplate needs {records}"),
        ({"bodyTemplate": {"x": "{record}"}}, "bodyTemplate needs {records}"),
        ({"bodyTemplate": {"x": "{records}", "k": "{key}"}}, "{key} in a body needs body: object"),
        ({"bodyTemplate": {"x": "{records}", "y": "n {records}"}}, "must stand alone in their text"),
        ({"bodyTemplate": {"x": "{records}"}, "envelope": "y"}, "envelope and bodyTemplate exclude each other"),
        ({"recordTemplate": {"x": "{records}"}}, "and recordTemplate {record}"),
        ({"format": "ndjson", "envelope": "x"}, "format: ndjson is one record a line"),
        ({"format": "form"}, "format: form needs body: object"),
        ({"tokenQuery": "k", "oauth2": {"tokenUrl": "http://x"}}, "tokenQuery and oauth2 exclude each other"),
        ({"rules": [{"of": "result", "path": "$.x", "means": "refused"}]}, "a rule of: result needs results"),
        ({"rules": [{"means": "refused"}]}, "set statuses, or path, or both"),
        (
            {"rules": [{"path": "$.x[?(@.y)]", "means": "refused"}]},
            "config.rules[0].path: cannot be read from '[?(@.y)]'",
        ),
        ({"results": {"path": "$.a[*].b"}}, "config.results.path: must lead to one list"),
        ({"lookup": {"url": "http://crm/{object}"}}, "write {value} or {values} into url, query or body"),
        ({"lookup": {"url": "http://crm/{value}", "body": {}}}, "body needs method: POST"),
        ({"lookup": {"url": "http://crm/{value}", "pages": {"by": "cursor"}}}, "by: cursor needs path"),
        ({"lookup": {"url": "http://crm/{value}", "pages": {"by": "page"}}}, "by: page needs parameter"),
        ({"signature": {"value": "sha256="}}, "config.signature.value"),
    ],
)
def test_settings_that_do_not_fit_together_are_told(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        DESTINATIONS.check("http", {"url": "http://crm", **config})
    assert words in str(raised.value)


def test_braces_of_other_kinds_stay_in_headers_and_bodies() -> None:
    config = DESTINATIONS.check(
        "http",
        {
            "url": "http://crm",
            "headers": {"X": json.dumps({"a": 1})},
            "bodyTemplate": {"q": "{a}{records", "r": "{records}"},
        },
    )
    assert config
