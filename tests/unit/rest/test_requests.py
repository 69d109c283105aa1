"""What every request has in common: bodies, queries, cursors, entity tags, limits."""

import base64
import gzip
import hmac
import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request

from retl.rest.callers.caller import Caller
from retl.rest.problems import Problem
from retl.rest.requests import answers, bodies, cursors, etags, headers, queries, writes
from retl.rest.requests.bodies import Body
from retl.rest.requests.ids import uuid7
from retl.rest.requests.limits import STREAMS, Buckets, Limits
from retl.rest.requests.paths import Paths

DAY = 24 * 3600


class Mapping(Body):
    source: bodies.Text(10)  # type: ignore[valid-type]
    key: bool = False


class Wish(Body):
    name: bodies.Text(10)  # type: ignore[valid-type]
    limit: int | None = None
    mappings: tuple[Mapping, ...] = ()


APP = FastAPI()
APP.post("/v1/workspaces/{id}/syncs/{syncId}/runs")(lambda: None)
APP.state.paths = Paths(APP)


def request_of(
    body: bytes = b"", query: str = "", method: str = "POST", sent: list[tuple[str, str]] | None = None
) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    known = [("content-type", "application/json")] if sent is None else sent
    scope = {
        "type": "http",
        "method": method,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in known],
        "path": "/v1/workspaces/growth/syncs/A1/runs",
        "path_params": {"id": "growth", "syncId": "A1"},
        "app": APP,
    }
    return Request(scope, receive)


async def refused(body: bytes, sent: list[tuple[str, str]] | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        await bodies.read(request_of(body, sent=sent), Wish)
    return caught.value


def wrong(problem: Problem) -> list[tuple[str, str]]:
    return [(error.pointer or error.parameter or error.header, error.detail) for error in problem.errors]


@pytest.mark.parametrize(
    ("body", "slug", "where"),
    [
        (b"", "malformed-json", None),
        (b"{", "malformed-json", None),
        (b"[]", "malformed-json", None),
        (b'"name"', "malformed-json", None),
        (b"\xff\xfe", "malformed-json", None),
        (b'{"name": NaN}', "malformed-json", None),
        (b'{"name": -Infinity}', "malformed-json", None),
        (b'{"name": 1e999}', "malformed-json", None),
        (b'{"name": 99999999999999999999}', "malformed-json", None),
        (b'{"name": ' + b"9" * 10_000 + b"}", "malformed-json", None),
        (b'{"name": "a", "name": "b"}', "malformed-json", "/name"),
        (b'{"mappings": [{"so~u/rce": 1, "so~u/rce": 2}]}', "malformed-json", "/mappings/0/so~0u~1rce"),
        (b'{"name": "\\ud800"}', "malformed-json", "/name"),
        (b'{"name": "a\\u0000b"}', "malformed-json", "/name"),
        (b'{"mappings": ' + b"[" * 32 + b"]" * 32 + b"}", "malformed-json", None),
        (b"[" * 1_000_000, "malformed-json", None),
        (b'{"name": "' + b"a" * bodies.MAX_BODY + b'"}', "content-too-large", None),
        (b"{}", "invalid-input", "/name"),
        (b'{"name": null}', "invalid-input", "/name"),
        (b'{"name": " \\t"}', "invalid-input", "/name"),
        (b'{"name": "12345678901"}', "invalid-input", "/name"),
        (b'{"name": 5}', "invalid-input", "/name"),
        (b'{"name": "a", "limit": "5"}', "invalid-input", "/limit"),
        (b'{"name": "a", "limit": 5.0}', "invalid-input", "/limit"),
        (b'{"name": "a", "limit": true}', "invalid-input", "/limit"),
        (b'{"name": "a", "mappings": [{"source": "x", "key": 1}]}', "invalid-input", "/mappings/0/key"),
        (b'{"name": "a", "mappings": [{"source": "x"}, 5]}', "invalid-input", "/mappings/1"),
    ],
)
async def test_a_body_that_is_not_what_is_wanted_is_refused_with_its_place(
    body: bytes, slug: str, where: str | None
) -> None:
    problem = await refused(body)
    assert problem.slug == slug
    assert [place for place, _ in wrong(problem)] == ([where] if where else [])


async def test_all_fields_that_are_wrong_are_told_at_once_in_words_and_without_values() -> None:
    body = {"name": None, "Limit": 3, "mappings": [{"source": "", "key": "hunter2"}, {"sorce": "x", "source": "y"}]}
    assert wrong(await refused(json.dumps(body).encode())) == [
        ("/name", "must not be null"),
        ("/mappings/0/source", "must not be empty"),
        ("/mappings/0/key", "must be true or false"),
        ("/mappings/1/sorce", "unknown field; did you mean source?"),
        ("/Limit", "unknown field; did you mean limit?"),
    ]


@pytest.mark.parametrize(
    "sent",
    [
        [],
        ["text/plain"],
        ["application/json; charset=latin-1"],
        ["application/json", "application/json"],
        ["text/json"],
    ],
)
async def test_what_does_not_say_that_it_is_json_is_not_read(sent: list[str]) -> None:
    problem = await refused(b'{"name": "a"}', [("content-type", value) for value in sent])
    assert (problem.status, problem.slug) == (415, "unsupported-media-type")


async def test_a_body_that_is_packed_is_refused_by_how_it_is_sent() -> None:
    packed = [("content-type", "application/json"), ("content-encoding", "gzip")]
    problem = await refused(gzip.compress(b'{"name": "a"}'), packed)
    assert (problem.status, problem.headers) == (415, {"Accept-Encoding": "identity"})


@pytest.mark.parametrize("media", ["application/json", "Application/JSON; Charset=UTF-8", "application/json;"])
async def test_a_body_is_read_and_its_digest_kept_for_the_write(media: str) -> None:
    request = request_of(b'{"name": "a"}', sent=[("content-type", media), ("idempotency-key", "k")])
    assert await bodies.read(request, Wish) == Wish(name="a")
    how = writes.how(request)
    assert (how.idempotency_key, len(how.digest)) == ("k", 64)
    assert how.what == "/workspaces/{id}/syncs/{syncId}/runs a1", "whichever version and name of the workspace"


async def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_read() -> None:
    said = [("content-type", "application/json"), ("content-length", str(bodies.MAX_BODY + 1))]
    assert (await refused(b"{}", said)).status == 413


async def test_an_endpoint_without_a_body_takes_none_or_an_empty_one() -> None:
    for body in (b"", b"{}"):
        await bodies.read(request_of(body), bodies.Nothing, optional=True)
    with pytest.raises(Problem, match="unknown field"):
        await bodies.read(request_of(b'{"x": 1}'), bodies.Nothing, optional=True)


class Asked(queries.Paged, queries.Writing):
    enabled: queries.Flag | None = None
    since: queries.Moment | None = None


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", ["limit"]),
        ("limit=201", ["limit"]),
        ("limit=5.0", ["limit"]),
        ("limit=x&enabled=yes", ["limit", "enabled"]),
        ("limit=1&limit=2", ["limit"]),
        ("enabled=True", ["enabled"]),
        ("enabled=", ["enabled"]),
        ("dryRun=1", ["dryRun"]),
        ("dry_run=true", ["dry_run"]),
        ("since=2025-01-31", ["since"]),
        ("since=2025-01-31T00:00:00", ["since"]),
        ("since=2025-W05-5T00:00:00Z", ["since"]),
        ("since=9999-12-31T23:59:59-14:00", ["since"]),
        ("since=0001-01-01T00:00:00%2B14:00", ["since"]),
        ("cursor=%00", ["cursor"]),
        ("enabeld=true", ["enabeld"]),
    ],
)
def test_a_query_is_known_sent_once_and_means_one_thing(query: str, where: list[str]) -> None:
    with pytest.raises(Problem) as caught:
        queries.read(request_of(query=query), Asked)
    assert caught.value.status == 422
    assert [place for place, _ in wrong(caught.value)] == where


def test_a_query_that_is_right_is_read() -> None:
    read = queries.read(request_of(query="limit=7&enabled=false&dryRun=true&since=2025-01-31T01:00:00%2B01:00"), Asked)
    assert (read.limit, read.enabled, read.dry_run, read.cursor) == (7, False, True, None)
    assert read.since is not None
    assert read.since.isoformat() == "2025-01-31T00:00:00+00:00"


def test_a_cursor_that_is_made_up_with_the_right_checksum_is_none_all_the_same() -> None:
    for said in (
        b"{}",
        b"[]",
        b"1",
        b"[" * 6_000,
        b"\xff",
        b'{"t": "x", "q": "", "p": ""}',
        b'{"t": Infinity, "p": 1}',
    ):
        checksum = hmac.digest(cursors._CHECKSUM, said, "sha256")[:8]
        with pytest.raises(Problem) as caught:
            cursors.open(base64.urlsafe_b64encode(said + checksum).decode().rstrip("="), "")
        assert caught.value.slug == "invalid-cursor"


async def test_a_body_of_very_many_values_or_mistakes_is_not_gone_through() -> None:
    many = await refused(b"{" + b",".join(b'"k%d":1' % number for number in range(80_000)) + b"}")
    assert (many.slug, many.detail) == ("malformed-json", f"it holds more than {bodies.MAX_VALUES} values")
    commas = b'{"name": "' + b'\\",[{' * bodies.MAX_VALUES + b'"}'
    assert (await refused(commas)).slug == "invalid-input"
    wrong = await refused(b"{" + b",".join(b'"k%d":1' % number for number in range(1_000)) + b"}")
    assert len(wrong.errors) == bodies.MAX_ERRORS


def test_a_cursor_leads_back_to_its_place_in_its_own_list_for_a_day() -> None:
    query = cursors.query("runs", "uid", None)
    cursor = cursors.seal("position é", query, clock=lambda: 0.0)
    assert cursors.open(cursor, query, clock=lambda: DAY - 1.0) == "position é"
    for text, of, now, slug in [
        (cursor, query, DAY + 1.0, "cursor-expired"),
        (cursor, cursors.query("runs", "uid", "failed"), 0.0, "invalid-cursor"),
        (cursor[:-1] + ("A" if cursor[-1] != "A" else "Q"), query, 0.0, "invalid-cursor"),
        (cursor[1:], query, 0.0, "invalid-cursor"),
        ("", query, 0.0, "invalid-cursor"),
        ("é", query, 0.0, "invalid-cursor"),
        ("AAAA", query, 0.0, "invalid-cursor"),
    ]:
        with pytest.raises(Problem) as caught:
            cursors.open(text, of, clock=lambda now=now: now)  # type: ignore[misc]
        assert caught.value.slug == slug


@pytest.mark.parametrize(
    ("sent", "versions"),
    [
        ([], None),
        (["*"], None),
        (['"7"'], {"7"}),
        (['W/"7"'], set()),
        (['W/"6", "7"'], {"7"}),
        (["7"], set()),
        ([""], set()),
        (['"6"', '"7", "8"'], {"6", "7", "8"}),
    ],
)
def test_a_write_may_name_the_versions_that_it_is_for(sent: list[str], versions: set[str] | None) -> None:
    assert etags.if_match(request_of(sent=[("if-match", value) for value in sent])) == versions


@pytest.mark.parametrize(
    ("sent", "known"), [(['"7"'], True), (['W/"7"'], True), (["*"], True), (['"6"'], False), ([], False)]
)
def test_a_client_that_has_the_version_is_told_so(sent: list[str], known: bool) -> None:
    assert etags.unchanged(request_of(sent=[("if-none-match", value) for value in sent]), "7") is known


@pytest.mark.parametrize(("version", "status"), [("7", 304), ("", 200)])
def test_a_client_can_have_no_version_of_what_has_none(version: str, status: int) -> None:
    assert answers.read(request_of(sent=[("if-none-match", "*")]), {}, version).status_code == status


@pytest.mark.parametrize("key", ["", " ", "é", "a\tb", "k" * 256])
def test_an_idempotency_key_is_printable_and_short(key: str) -> None:
    with pytest.raises(Problem) as caught:
        writes.how(request_of(sent=[("idempotency-key", key)]))
    assert [place for place, _ in wrong(caught.value)] == ["Idempotency-Key"]


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["Basic eDp5"],
        ["token"],
        ["Bearer a b"],
        ["Bearer é"],
        ["Bearer a", "Bearer b"],
        ["Bearer " + "a" * 8193],
    ],
)
def test_all_credentials_that_are_none_are_refused_in_the_same_words(sent: list[str]) -> None:
    with pytest.raises(Problem) as caught:
        headers.credential(request_of(sent=[("authorization", value) for value in sent]))
    assert caught.value.status == 401
    assert caught.value.headers == {"WWW-Authenticate": 'Bearer realm="reverse-etl"'}
    assert "valid here" in caught.value.detail


def test_a_bucket_refills_as_time_goes_by_and_never_beyond_its_size() -> None:
    now = [0.0]
    buckets = Buckets(rate=2.0, burst=3, clock=lambda: now[0])
    assert [buckets.take("ada") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("grace") == 0
    now[0] = 0.5
    assert [buckets.take("ada") for _ in range(2)] == [0, 0.5]
    now[0] = 1_000.0
    assert [buckets.take("ada") for _ in range(4)] == [0, 0, 0, 0.5]


def test_one_caller_is_one_name_and_key_and_is_told_when_to_come_back() -> None:
    limits = Limits(rate=0.1, burst=1, clock=lambda: 0.0)
    ada, with_key = Caller("ada", None, {}), Caller("ada", None, {}, key="k")
    for caller in (ada, with_key):
        limits.admit(caller)
    with pytest.raises(Problem) as caught:
        limits.admit(ada)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "10")
    assert limits.throttled == 1


def test_an_address_that_tried_too_many_credentials_in_vain_has_to_wait() -> None:
    now = [0.0]
    limits = Limits(clock=lambda: now[0])
    for _ in range(20):
        limits.knock("192.0.2.1", "guess")
        limits.turned_away("192.0.2.1", "guess")
    with pytest.raises(Problem, match="not valid"):
        limits.knock("192.0.2.1", "guess")
    limits.knock("192.0.2.2", "guess")
    now[0] = 0.2
    limits.knock("192.0.2.1", "guess")


def test_whoever_came_in_before_is_not_shut_out_by_others_who_guess_from_the_same_address() -> None:
    limits = Limits(clock=lambda: 0.0)
    limits.let_in("ada's")
    for _ in range(20):
        limits.turned_away("192.0.2.1", "guess")
    limits.knock("192.0.2.1", "ada's")
    limits.turned_away("192.0.2.1", "ada's")
    with pytest.raises(Problem, match="not valid"):
        limits.knock("192.0.2.1", "ada's")


def test_a_caller_has_so_many_streams_and_gets_them_back() -> None:
    limits, ada = Limits(), Caller("ada", None, {})
    held = [limits.stream(ada) for _ in range(STREAMS + 1)]
    for stream in held[:-1]:
        stream.__enter__()
    with pytest.raises(Problem, match="streams open"):
        held[-1].__enter__()
    with limits.stream(Caller("grace", None, {})):
        assert limits.streams == STREAMS + 1
    for stream in held[:-1]:
        stream.__exit__(None, None, None)
    assert limits.streams == 0


def test_ids_of_requests_sort_by_time() -> None:
    first, second = uuid7(), uuid7()
    assert (first.version, first.variant) == (7, second.variant)
    assert first.int >> 80 <= second.int >> 80
