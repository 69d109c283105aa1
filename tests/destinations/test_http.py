"""What the HTTP destination sends for each operation, and what it makes of answers of all kinds."""

import asyncio
import gzip
import json
from base64 import b64encode
from collections import deque
from datetime import timedelta
from typing import Any

import pytest

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    BatchRejected,
    Destination,
    LoginRefused,
    Outcome,
    RateSignal,
    Rejected,
    Skipped,
    Target,
    TryLater,
    Unknown,
)
from retl.destinations.http.config import HttpConfig, http_capabilities
from retl.destinations.registry import DESTINATIONS
from retl.errors import DestinationError, InvalidInput
from tests.destinations.endpoint import Answer, Endpoint, Limit

OK = ACKNOWLEDGED
EXISTS = Skipped("the record exists")
NONE = Skipped("there is no such record")
BATCHES = {name: {"url": "{url}/accounts/" + name} for name in ("insert", "update", "delete", "append")}
ONE = {
    "url": "{url}/{object}/one/{key}",
    "method": "PUT",
    "body": "object",
    "operations": {
        "insert": {"method": "POST", "url": "{url}/{object}/one"},
        "update": {"method": "PATCH"},
        "delete": {"method": "DELETE"},
    },
}


def filled(config: Any, url: str) -> Any:
    """The settings with the endpoint's address in them."""
    if isinstance(config, dict):
        return {name: filled(value, url) for name, value in config.items()}
    return config.replace("{url}", url) if isinstance(config, str) else config


async def opened(
    endpoint: Endpoint, config: dict[str, Any], mode: str = "upsert", login: dict[str, str] | None = None
) -> Destination:
    settings = {"url": "{url}/accounts", **config}
    connector = DESTINATIONS.code("http")(
        DESTINATIONS.check("http", filled(settings, endpoint.url)), DESTINATIONS.login("http", "s", login or {})
    )
    assert isinstance(connector, Destination)
    await connector.open(Target("accounts", mode, ("id",), ("id", "name"), timedelta(seconds=2)))
    return connector


async def sent(
    endpoint: Endpoint, config: dict[str, Any], operation: str, *ids: Any, name: str = "new", **batch: Any
) -> list[Outcome]:
    """Outcomes of one batch."""
    connector = await opened(endpoint, config, operation)
    payloads = [json.dumps({"id": i, "name": name}, separators=(",", ":")).encode() for i in ids]
    try:
        return list(await connector.write(Batch(len(ids), payloads, operation=operation, **batch)))
    finally:
        await connector.close()


def names(endpoint: Endpoint) -> dict[str, Any]:
    return {key: record["name"] for key, record in endpoint.records.items()}


def old(endpoint: Endpoint) -> None:
    endpoint.records |= {"1": {"id": 1, "name": "old"}, "2": {"id": 2, "name": "old"}}


@pytest.mark.parametrize(
    ("operation", "outcomes", "content"),
    [
        ("upsert", [OK, OK], {"1": "new", "2": "old", "3": "new"}),
        ("insert", [EXISTS, OK], {"1": "old", "2": "old", "3": "new"}),
        ("update", [OK, NONE], {"1": "new", "2": "old"}),
        ("delete", [OK, OK], {"2": "old"}),
    ],
)
@pytest.mark.parametrize("single", [False, True])
async def test_each_operation_has_its_call(
    endpoint: Endpoint, operation: str, single: bool, outcomes: list[Outcome], content: dict[str, str]
) -> None:
    old(endpoint)
    if single:
        assert [(await sent(endpoint, ONE, operation, i))[0] for i in (1, 3)] == outcomes
    else:
        endpoint.style = "index"
        assert await sent(endpoint, {"operations": BATCHES, "results": {}}, operation, 1, 3) == outcomes
    assert names(endpoint) == content


async def test_operations_without_a_call_of_their_own_take_the_base_call(endpoint: Endpoint) -> None:
    for operation in ("upsert", "insert", "update", "append"):
        assert await sent(endpoint, {}, operation, 1) == [OK]
    assert endpoint.writes == {"1": 4}


async def test_an_operation_may_have_another_envelope_or_none(endpoint: Endpoint) -> None:
    bodies: list[Any] = []
    endpoint.check = lambda record: bodies.append(record)
    config = {"envelope": "records", "operations": {"insert": {"url": "{url}/accounts/insert", "envelope": ""}}}
    assert await sent(endpoint, config, "upsert", 1) == [OK]
    assert await sent(endpoint, config, "insert", 2) == [OK]
    assert bodies == [{"id": 1, "name": "new"}, {"id": 2, "name": "new"}]


@pytest.mark.parametrize("key", ["a/b?c=d#é 😀", "..%2f", 12345678901234567890, 1.5])
async def test_a_key_in_a_url_is_one_part_of_its_path(endpoint: Endpoint, key: Any) -> None:
    assert await sent(endpoint, ONE, "upsert", key) == [OK]
    assert await sent(endpoint, ONE, "delete", key) == [OK]
    assert endpoint.writes == {str(key): 2}
    assert endpoint.records == {}


@pytest.mark.parametrize("key", ["", ".", "..", None, [1]])
async def test_a_key_that_no_url_can_name_is_refused(endpoint: Endpoint, key: Any) -> None:
    refused = Rejected("DESTINATION_VALIDATION", "id holds nothing that a URL can name")
    assert await sent(endpoint, ONE, "delete", key) == [refused]
    assert endpoint.requests == []


async def test_a_key_in_the_url_never_stands_in_the_endpoints_name(endpoint: Endpoint) -> None:
    endpoint.always = Answer(503)
    with pytest.raises(TryLater) as raised:
        await sent(endpoint, ONE, "upsert", "jane@x")
    assert str(raised.value) == f"PUT {endpoint.url}/accounts/one/{{key}} answered 503"


@pytest.mark.parametrize(
    ("config", "offers"),
    [
        ({}, {"upsert", "insert", "update", "append"}),
        ({"operations": {"delete": {}}}, {"upsert", "insert", "update", "append", "delete", "mirror"}),
    ],
)
def test_deletes_and_mirrors_are_offered_where_delete_has_a_call(config: dict[str, Any], offers: set[str]) -> None:
    capabilities = http_capabilities(HttpConfig.model_validate({"url": "http://crm", **config}))
    assert capabilities.modes == frozenset(offers)
    assert not capabilities.only_if_empty
    assert not capabilities.lookups


def test_capabilities_follow_the_settings() -> None:
    def of(**config: Any) -> Any:
        return http_capabilities(HttpConfig.model_validate({"url": "http://crm", **config}))

    assert "append" not in of().repeatable
    assert "append" in of(idempotency={}).repeatable
    assert (of().default_batch, of().max_batch) == (500, 10_000)
    assert (of(body="object").default_batch, of(body="object").max_batch) == (1, 1)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"url": "http://crm/{key}"}, "{key} in a url needs body: object"),
        ({"operations": {"delete": {"url": "http://crm/{key}"}}}, "{key} in a url needs body: object"),
        ({"operations": {"delete": {"url": "crm"}}}, "config.operations.delete.url: must begin with http://"),
        ({"operations": {"remove": {}}}, "config.operations.remove: unknown field"),
        ({"idempotency": {"header": None}}, "set header, or field, or both"),
        ({"idempotency": {"header": "a b"}}, "config.idempotency.header"),
        ({"tokenHeader": "a\nb"}, "config.tokenHeader"),
    ],
)
def test_settings_of_operations_are_checked(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        DESTINATIONS.check("http", {"url": "http://crm", **config})
    assert words in str(raised.value)


async def test_a_key_in_a_url_needs_a_key_of_one_field(endpoint: Endpoint) -> None:
    connector = DESTINATIONS.code("http")(DESTINATIONS.check("http", filled(ONE, endpoint.url)), None)
    with pytest.raises(DestinationError, match="the mappings have as keys: id, region"):
        await connector.open(Target("a", "upsert", ("id", "region"), ("id", "region"), timedelta(seconds=1)))


async def test_a_call_made_twice_takes_effect_once_by_its_header(endpoint: Endpoint) -> None:
    config = {"operations": BATCHES, "idempotency": {}}
    for _ in range(2):
        assert await sent(endpoint, config, "append", 1, 2, ids=["a", "b"]) == [OK, OK]
    assert await sent(endpoint, config, "append", 1, ids=["a"]) == [OK]
    assert len(endpoint.events) == 3
    assert list(endpoint.seen)[1] == "a"
    assert len(next(iter(endpoint.seen))) == 64
    await sent(endpoint, config, "append", 2, 1, ids=["b", "a"])
    assert len(endpoint.seen) == 3


async def test_a_record_sent_twice_takes_effect_once_by_its_field(endpoint: Endpoint) -> None:
    endpoint.id_field = "retl_id"
    config = {"operations": BATCHES, "idempotency": {"header": None, "field": "retl_id"}}
    await sent(endpoint, config, "append", 1, 2, ids=["a", "b"])
    await sent(endpoint, config, "append", 2, 3, ids=["b", "c"])
    assert endpoint.events == [{"retl_id": i, "id": n, "name": "new"} for n, i in enumerate("abc", 1)]
    assert endpoint.seen == {}


async def test_an_empty_record_gets_its_id_too(endpoint: Endpoint) -> None:
    endpoint.key = "retl_id"
    connector = await opened(endpoint, {"idempotency": {"field": "retl_id"}})
    assert await connector.write(Batch(1, [b"{}"], ids=["a"])) == [OK]
    assert endpoint.records == {"a": {"retl_id": "a"}}
    await connector.close()


@pytest.mark.parametrize("style", ["x", "epoch", "draft", "structured"])
async def test_what_replies_say_of_the_rate_is_passed_on(endpoint: Endpoint, style: Any) -> None:
    endpoint.limit = Limit(2, 100, style)
    connector = await opened(endpoint, {})
    signals: list[RateSignal] = []
    connector.signal = signals.append
    for _ in range(2):
        await connector.write(Batch(1, [b'{"id":1}']))
    with pytest.raises(TryLater) as raised:
        await connector.write(Batch(1, [b'{"id":1}']))
    assert raised.value.retry_after is not None
    assert [(signal.limit, signal.remaining) for signal in signals] == [(2, 1), (2, 0), (2, 0)]
    for signal in signals:
        assert signal.reset is not None
        assert timedelta(seconds=95) < signal.reset <= timedelta(seconds=101)
    assert signals[0].window == (timedelta(seconds=100) if style == "structured" else None)
    assert (endpoint.limited, endpoint.busiest()) == (1, 3)
    await connector.close()


def http(body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A reply as it stands on the wire."""
    content_length = f"Content-Length: {len(body) if length is None else length}"
    lines = ["HTTP/1.1 200 OK", content_length, "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


PAGE = "<!DOCTYPE html><html><body>Please log in</body></html>"
BOMB = gzip.compress(b"[" + b" " * 50_000_000 + b"]", 9)
HTML = {"Content-Type": "text/html; charset=utf-8"}
IN_DOUBT: list[tuple[Answer, str]] = [
    (
        Answer(200, HTML, " <p>Please log in</p>"),
        "answered 200 with a web page, as logins and proxies do; check config.url",
    ),
    (Answer(200, {}, PAGE), "answered 200 with a web page"),
    (Answer(raw=b""), "broke off before it had answered in full"),
    (Answer(raw=b"", write=True), "broke off before it had answered in full"),
    (Answer(raw=http(b'{"results"', length=99)), "broke off before it had answered in full"),
    (Answer(raw=b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":'), "broke off before"),
    (Answer(raw=b"\x00\xff garbage\r\n\r\n"), "answered in a way that cannot be read"),
    (Answer(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), "answered in a way that cannot be read"),
    (Answer(raw=http(b"no gzip", "Content-Encoding: gzip")), "answered in a way that cannot be read"),
    (Answer(raw=http(gzip.compress(b"{}" * 99)[:-9], "Content-Encoding: gzip")), "answered in a way that cannot be"),
    (Answer(raw=http(b"{}", "Content-Encoding: br")), "answered in a way that cannot be read"),
    (Answer(raw=http(BOMB, "Content-Encoding: gzip")), "answered 200 with a body that is too long to be read"),
    (Answer(200, {}, " " * (17 << 20)), "answered 200 with a body that is too long to be read"),
]


@pytest.mark.parametrize(("answer", "words"), IN_DOUBT)
async def test_an_answer_that_nobody_can_read_leaves_doubt_and_the_next_call_goes_through(
    endpoint: Endpoint, answer: Answer, words: str
) -> None:
    endpoint.answers.append(answer)
    connector = await opened(endpoint, {})
    with pytest.raises(TryLater) as raised:
        await connector.write(Batch(1, [b'{"id":1,"name":"new"}']))
    assert raised.value.code == "OUTCOME_UNKNOWN"
    assert words in str(raised.value)
    assert "log in" not in str(raised.value)
    assert names(endpoint) == ({"1": "new"} if answer.write else {})
    assert await connector.write(Batch(1, [b'{"id":1,"name":"new"}'])) == [OK]
    await connector.close()


@pytest.mark.parametrize("body", ['{"results": [{"status": 200}', "OK", "\x00", '{"results": [{"status": nan}]}'])
async def test_results_that_cannot_be_read_leave_doubt(endpoint: Endpoint, body: str) -> None:
    endpoint.always = Answer(200, {}, body)
    with pytest.raises(TryLater, match="with a body that is no JSON") as raised:
        await sent(endpoint, {"results": {}}, "upsert", 1)
    assert raised.value.code == "OUTCOME_UNKNOWN"


async def test_an_endpoint_that_never_answers_leaves_doubt(endpoint: Endpoint) -> None:
    endpoint.gate.clear()
    with pytest.raises(TryLater, match="did not answer in time") as raised:
        await sent(endpoint, {}, "upsert", 1)
    assert raised.value.code == "OUTCOME_UNKNOWN"


async def test_an_endpoint_that_answers_a_byte_at_a_time_is_waited_for_no_longer(endpoint: Endpoint) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            try:  # a byte every tenth of a second, until the caller hangs up
                await asyncio.wait_for(reader.read(1 << 16), 0.1)
                await asyncio.wait_for(reader.read(1), 0.1)
                break
            except TimeoutError:
                continue
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(TryLater, match="did not answer in time"):
        await sent(endpoint, {}, "upsert", 1)
    server.close()


@pytest.mark.parametrize(
    ("place", "shown"), [("/accounts/1/", "elsewhere"), ("https://new.example/a/1/", "https://new.example")]
)
async def test_a_redirect_of_a_records_own_url_does_not_show_the_record(
    endpoint: Endpoint, place: str, shown: str
) -> None:
    endpoint.always = Answer(301, {"Location": place})
    with pytest.raises(DestinationError) as raised:
        await sent(
            endpoint, {"url": f"{endpoint.url}/{{object}}/one/{{key}}", "method": "PUT", "body": "object"}, "upsert", 1
        )
    words = f"PUT {endpoint.url}/accounts/one/{{key}} redirects to {shown}, and redirects are not followed"
    assert str(raised.value) == f"{words}; correct config.url"


async def test_a_redirect_loop_is_not_followed(endpoint: Endpoint) -> None:
    location = endpoint.url.replace("http://", "http://user:secret@") + "/accounts?name=jane"
    endpoint.always = Answer(302, {"Location": location})
    with pytest.raises(DestinationError) as raised:
        await sent(endpoint, {}, "upsert", 1)
    words = f"POST {endpoint.url}/accounts redirects to http://127.0.0.1/accounts, and redirects are not followed"
    assert str(raised.value) == f"{words}; correct config.url"
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"errors": [{"message": "bad plan"}]}, "bad plan"),
        ({"errors": {"plan": ["is odd"]}}, ""),
        ({"error": "bad plan"}, "bad plan"),
        ({"error": {"code": 1, "detail": "bad plan"}}, "bad plan"),
        ({"success": False, "reason": "bad plan"}, "bad plan"),
        ({"ok": False, "error": "bad_plan"}, "bad_plan"),
        ({"status": "error", "message": "bad plan"}, "bad plan"),
        ({"errors": True, "items": []}, ""),
    ],
)
async def test_a_success_with_an_error_in_it_is_none(endpoint: Endpoint, body: Any, words: str) -> None:
    endpoint.always = Answer(200, {}, json.dumps(body))
    with pytest.raises(BatchRejected) as refused:
        await sent(endpoint, {}, "upsert", 1, 2)
    said = "status 200, and in it an error" + (f": {words}" if words else "")
    assert (refused.value.code, refused.value.message) == ("UNKNOWN", said)
    assert (
        await sent(endpoint, {}, "append", 1, 2) == [Unknown(f"POST {endpoint.url}/accounts answered with {said}")] * 2
    )


@pytest.mark.parametrize(
    "body", ["", "OK", "{}", '{"errors": []}', '{"error": null, "success": true}', "[]", '{"status": "ok"}', "null"]
)
async def test_a_success_without_an_error_in_it_is_one(endpoint: Endpoint, body: str) -> None:
    for headers in ({}, HTML):
        endpoint.always = Answer(200, headers, body)
        assert await sent(endpoint, {}, "append", 1, 2) == [OK, OK]


@pytest.mark.parametrize(
    ("results", "body", "kinds"),
    [
        ({}, [{"status": 200}], "uuu"),  # whose is it?
        ({}, [{"status": 200}] * 4, "uuu"),
        ({}, [{"index": 0, "status": 200}], "auu"),
        ({}, [{"index": i, "status": 200} for i in range(5)], "aaa"),
        ({}, [{"index": i, "status": 200} for i in (0, 1, 1, 2)], "aaa"),
        ({}, [{"index": 1, "status": 200}, {"index": 1, "status": 422}, {"index": 0, "status": 200}], "auu"),
        ({}, [{"index": True, "status": 200}, {"index": -1, "status": 200}, {"index": "2", "status": 200}], "uuu"),
        ({}, [None, 7, "ok"], "uuu"),
        ({}, [], "uuu"),
        ({"covers": "failures"}, [], "aaa"),
        ({"covers": "failures"}, [{"index": 2}], "aar"),
        ({"covers": "failures"}, [{"message": "one was bad"}], "uuu"),
        ({"covers": "failures"}, [{"index": 2}, {"index": 9}], "uur"),
    ],
)
async def test_results_that_do_not_fit_the_batch_leave_doubt(
    endpoint: Endpoint, results: dict[str, Any], body: list[Any], kinds: str
) -> None:
    endpoint.always = Answer(200, {}, json.dumps({"results": body}))
    outcomes = await sent(endpoint, {"results": results}, "upsert", 1, 2, 3)
    assert "".join(type(outcome).__name__[0].lower() for outcome in outcomes) == kinds


async def test_a_multi_status_that_nobody_was_told_how_to_read_leaves_doubt(endpoint: Endpoint) -> None:
    endpoint.style, endpoint.check = "index", lambda record: "odd" if record["id"] == 2 else None
    outcomes = await sent(endpoint, {}, "upsert", 1, 2)
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]


@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_are_refused_on_the_way_end_the_run_and_the_words_stay_out_of_it(
    endpoint: Endpoint, status: int
) -> None:
    endpoint.answers = deque([None, Answer(status, {}, '{"detail": "jane@x may not"}')])
    connector = await opened(endpoint, {})
    assert await connector.write(Batch(1, [b'{"id":1}'])) == [OK]
    with pytest.raises(LoginRefused) as raised:
        await connector.write(Batch(1, [b'{"id":2}']))
    assert str(raised.value) == f"POST {endpoint.url}/accounts refused the credentials with status {status}"
    assert raised.value.said == ": jane@x may not"
    await connector.close()


async def test_values_of_a_megabyte_arrive(endpoint: Endpoint) -> None:
    value = "é😀" * 250_000
    assert await sent(endpoint, {}, "upsert", 1, 2, name=value) == [OK, OK]
    assert names(endpoint) == {"1": value, "2": value}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('"a\\u0000b\\ud800c \\ud83d\\ude00 \\u001b[1m"', "a b\ufffdc 😀 [1m"),
        ('"a\\n\\tb"', "a b"),
        ('{"detail": ["first", "second"]}', "first"),
        ("[" * 50 + "]" * 50, ""),
        ("17", "17"),
    ],
)
async def test_words_of_an_endpoint_are_made_printable(endpoint: Endpoint, said: str, words: str) -> None:
    endpoint.always = Answer(207, {}, '{"results": [{"status": 422, "message": ' + said + "}]}")
    (outcome,) = await sent(endpoint, {"results": {}}, "upsert", 1)
    assert isinstance(outcome, Rejected)
    assert words in outcome.message
    outcome.message.encode()


SECRET = 's3cret/+ "&ü'[:11]
PAIR = f"jane:{SECRET}"


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        "Basic " + b64encode(PAIR.encode()).decode(),
        b64encode(SECRET.encode()).decode(),
        "s3cret%2F%2B%20%22%26",
        "s3cret%2F%2B+%22%26",
        "s3cret/+ &quot;&amp;",
        "s3cret%2f%2b%20%22%26",
        r"s3cret\/+ \"\u0026",
    ],
)
@pytest.mark.parametrize("text", [True, False])
async def test_a_login_that_is_sent_back_is_not_shown(endpoint: Endpoint, echo: str, text: bool) -> None:
    body = f"bad header {echo}, sorry" if text else json.dumps({"message": f"bad header {echo}, sorry"})
    endpoint.always = Answer(400, {}, body)
    connector = await opened(endpoint, {}, login={"username": "jane", "password": SECRET})
    with pytest.raises(BatchRejected) as refused:
        await connector.write(Batch(1, [b'{"id":1}']))
    assert "s3cret" not in refused.value.message
    assert echo not in refused.value.message
    assert refused.value.message.startswith("status 400: bad header")
    assert refused.value.message.endswith(", sorry")
    await connector.close()


@pytest.mark.parametrize("status", [404, 405, 410])
async def test_an_endpoint_that_is_not_there_is_no_fault_of_a_record(endpoint: Endpoint, status: int) -> None:
    endpoint.always = Answer(status, {}, "jane@x")
    for operation in ("upsert", "update", "delete"):
        with pytest.raises(DestinationError) as raised:
            await sent(endpoint, {"operations": BATCHES}, operation, 1)
        assert str(raised.value).endswith(f"answered {status}; correct config.url or object")


async def test_a_record_that_its_url_does_not_find_is_refused_alone(endpoint: Endpoint) -> None:
    endpoint.always = Answer(404, {}, '{"message": "no account"}')
    with pytest.raises(BatchRejected) as refused:
        await sent(endpoint, ONE, "upsert", 1)
    assert (refused.value.code, refused.value.message) == ("NOT_FOUND", "status 404: no account")
    endpoint.always = Answer(410)
    assert await sent(endpoint, ONE, "delete", 1) == [OK]


async def test_a_list_that_holds_an_existing_record_is_looked_through(endpoint: Endpoint) -> None:
    old(endpoint)
    config = {"operations": BATCHES}
    with pytest.raises(BatchRejected) as refused:
        await sent(endpoint, config, "insert", 1, 3)
    assert refused.value.code == "CONFLICT"
    assert await sent(endpoint, config, "insert", 1) == [EXISTS]
    with pytest.raises(BatchRejected):
        await sent(endpoint, {"operations": {"append": {"url": "{url}/accounts/insert"}}}, "append", 1)
