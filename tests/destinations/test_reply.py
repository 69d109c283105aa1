"""Replies of HTTP endpoints and what they mean for each record."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retl.destinations.base import ACKNOWLEDGED, BatchRejected, LoginRefused, Outcome, Rejected, TryLater, Unknown
from retl.destinations.http.paths import field_at
from retl.destinations.http.reading import HttpResults
from retl.destinations.http.reply import Reader
from retl.destinations.web.rates import retry_after
from retl.destinations.web.transport import Reply
from retl.errors import DestinationError

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
SENT = [b'{"id": 1}', b'{"id": 2}', b'{"id": 3}']
OK = ACKNOWLEDGED


def read(
    status: int,
    body: Any = "",
    results: dict[str, Any] | None = None,
    sent: Sequence[bytes] = SENT,
    key: Sequence[str] = ("id",),
    repeatable: bool = True,
    **headers: str,
) -> list[Outcome]:
    reader = Reader(
        endpoint="POST http://crm",
        success=frozenset(),
        results=None if results is None else HttpResults.model_validate(results),
        key=tuple((name, name) for name in key),
        redact=lambda text: text.replace("s3cret", "…"),
        repeatable=repeatable,
    )
    text = body if isinstance(body, str) else json.dumps(body)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return list(reader.outcomes(Reply(status, names, text.encode()), sent, NOW))


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [o.code if isinstance(o, Rejected) else type(o).__name__ for o in outcomes]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", 1),
        ("address.city", "Wien"),
        ("tags[1].name", "b"),
        (r"a\.b", 2),
        ("a.b", 2),
        (r"x\[0\]", 3),
        ("tags[2]", None),
        ("id.x", None),
        ("address[0]", None),
        ("nowhere", None),
    ],
)
def test_a_field_is_found_by_the_path_that_a_mapping_writes(path: str, value: Any) -> None:
    record = {"id": 1, "address": {"city": "Wien"}, "tags": [{"name": "a"}, {"name": "b"}], "a.b": 2, "x[0]": 3}
    assert field_at(record, path) == value


def test_a_date_beyond_all_calendars_is_no_time_to_wait() -> None:
    reply = Reply(429, {"retry-after": "Fri, 31 Dec 9999999999999 23:59:59 GMT"}, b"")
    assert retry_after(reply.headers, NOW) is None


def test_results_by_key_compare_all_key_fields() -> None:
    sent = [b'{"region": "eu", "id": 1}', b'{"region": "eu", "id": 2}', b'{"region": "us", "id": 1}']
    body = {"results": [{"region": "us", "id": 1, "status": 200}, {"region": "eu", "id": 2, "status": 400}]}
    outcomes = read(207, body, {"by": "key"}, sent, ("region", "id"))
    assert kinds(outcomes) == ["Unknown", "DESTINATION_VALIDATION", "Acknowledged"]


def test_results_by_key_tell_large_numbers_apart() -> None:
    sent = [b'{"id": 12345678901234567890123456789012345121}', b'{"id": 12345678901234567890123456789012345122}']
    body = '{"results": [{"id": 12345678901234567890123456789012345122, "status": 400}]}'
    assert kinds(read(207, body, {"by": "key", "covers": "failures"}, sent)) == [
        "Acknowledged",
        "DESTINATION_VALIDATION",
    ]


def test_a_multi_status_that_nobody_can_read_leaves_every_outcome_unknown() -> None:
    assert kinds(read(207, {"results": [{"status": 422}]})) == ["Unknown"] * 3


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_without_results_a_success_is_a_success_for_all(status: int) -> None:
    assert read(status) == [OK, OK, OK]


OF_EACH: list[tuple[Any, list[str]]] = [
    ([{"success": True}, {"success": False, "error": "bad"}, {"success": True}], ["", "bad", ""]),
    ({"items": [{"ok": True}, {"ok": True}, {"ok": False, "message": "bad"}]}, ["", "", "bad"]),
    ({"responses": [{"error": None}, {"error": {"message": "bad"}}, {"error": ""}]}, ["", "bad", ""]),
    ({"records": [{"errors": ["bad"]}, {"errors": []}, {"errors": None}]}, ["bad", "", ""]),
    ({"data": [{"status": 201}, {"status": 422, "detail": "bad"}, {"status": 200}]}, ["", "bad", ""]),
    (
        {"results": [{"status": "created"}, {"status": "Failed"}, {"status": "ok"}]},
        ["", "the reply says that it failed", ""],
    ),
    (
        {"hasErrors": True, "results": [{"success": True}, {"status": 400}, {"id": 3, "ok": True}]},
        ["", "status 400", ""],
    ),
    ({"results": [{"status": 400, "message": "token s3cret"}] * 3}, ["token …"] * 3),
]


@pytest.mark.parametrize(("body", "words"), OF_EACH)
def test_a_success_that_says_of_each_record_whether_it_failed_is_believed(body: Any, words: list[str]) -> None:
    expected = [Rejected("DESTINATION_VALIDATION", said) if said else OK for said in words]
    assert read(200, body) == expected


@pytest.mark.parametrize(
    "body",
    [
        [{"success": False, "error": "bad"}],
        [{"id": 1}, {"id": 2, "error": "bad"}, {"id": 3}],
        {"failures": [{"ok": False, "reason": "bad"}]},
        {"results": [{"index": 2, "error": "bad"}, {"index": 0, "error": ""}, {"index": 1, "error": ""}]},
        {"results": [{"id": 2, "error": "bad"}, {"id": 1, "error": ""}, {"id": 3, "error": ""}]},
        {"hasErrors": True, "message": "bad"},
        {"status": "failure", "message": "bad"},
        {"status": 400, "message": "bad"},
        {"success": False, "message": "bad", "results": [{"id": 1}, {"id": 2}, {"id": 3}]},
        {"errors": [{"status": 400, "detail": "bad"}] * 3},
    ],
)
def test_a_success_that_says_that_something_failed_is_none(body: Any) -> None:
    with pytest.raises(BatchRejected, match="status 200, and in it an error: bad"):
        read(200, body)
    assert kinds(read(200, body, repeatable=False)) == ["Unknown"] * 3


@pytest.mark.parametrize(
    "body",
    [
        [{"id": 1, "error": None}, {"id": 2, "error": ""}, {"id": 3, "error": False}],
        {"records": [{"id": 1, "errors": []}, {"id": 2, "errors": {}}, {"id": 3, "status": "pending"}]},
        {"records": [{"id": 1, "status": "failed"}, {"id": 2, "error": "E7"}, {"id": 3, "status": 404}]},
        [{"id": 1, "status": "failed", "success": True}, {"id": 2, "error": "E7"}, {"id": 3, "status": 404}],
        {"id": 1, "status": "failed"},
        {"hasErrors": False, "results": ["failed", "error", None]},
        [{"status": 200}, {"status": "cancelled"}, {"status": True}],
    ],
)
def test_an_echo_of_the_records_speaks_of_no_failure(body: Any) -> None:
    sent = [b'{"id": 1, "status": "failed"}', b'{"id": 2, "error": "E7"}', b'{"id": 3, "status": 404}']
    assert read(200, body, sent=sent) == [OK, OK, OK]


@pytest.mark.parametrize(
    ("results", "body", "expected"),
    [
        ({}, {"results": [{"status": 200}, {"status": 400}, {"status": 200}]}, ["ok", "validation", "ok"]),
        ({}, {"results": [{"index": 2, "status": 201}, {"index": 0, "status": 409}]}, ["conflict", "unknown", "ok"]),
        ({}, {"results": [{"index": 7, "status": 200}, "odd"]}, ["unknown", "unknown", "unknown"]),
        ({"path": ""}, [{"success": True}, {"success": False}, {"success": True}], ["ok", "validation", "ok"]),
        ({"path": "data.items"}, {"data": {"items": [{}, {}, {}]}}, ["ok", "ok", "ok"]),
        (
            {"by": "key"},
            {"results": [{"id": "3", "status": 200}, {"id": 1, "status": 404}]},
            ["not found", "unknown", "ok"],
        ),
        ({"covers": "failures"}, {"results": [{"index": 1}]}, ["ok", "validation", "ok"]),
        ({"covers": "failures"}, {"results": []}, ["ok", "ok", "ok"]),
        (
            {"successValues": ["created", "updated"]},
            {"results": [{"status": "created"}, {"status": "error"}, {"status": "updated"}]},
            ["ok", "validation", "ok"],
        ),
        (
            {"successValues": ["200", 201]},
            {"results": [{"status": 200}, {"status": "201"}, {"status": "202"}]},
            ["ok", "ok", "validation"],
        ),
        ({}, {"results": [{"status": 429}, {"status": 503}, {"status": 200}]}, ["rate limit", "unavailable", "ok"]),
        ({}, {"other": 1}, ["unknown", "unknown", "unknown"]),
    ],
)
@pytest.mark.parametrize("status", [200, 207])
def test_results_speak_of_single_records(status: int, results: dict[str, Any], body: Any, expected: list[str]) -> None:
    words = {
        "Acknowledged": "ok",
        "Unknown": "unknown",
        "DESTINATION_VALIDATION": "validation",
        "CONFLICT": "conflict",
        "NOT_FOUND": "not found",
        "RATE_LIMIT": "rate limit",
        "DESTINATION_UNAVAILABLE": "unavailable",
    }
    assert [words[kind] for kind in kinds(read(status, body, results))] == expected


def test_a_refusal_with_results_is_about_the_records_it_names() -> None:
    body = {"results": [{"index": 1, "message": "bad email"}]}
    outcomes = read(422, body, {"covers": "failures"})
    assert kinds(outcomes) == ["Unknown", "DESTINATION_VALIDATION", "Unknown"]
    assert outcomes[1] == Rejected("DESTINATION_VALIDATION", "bad email")


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_refusal_that_names_no_record_is_about_the_batch(status: int) -> None:
    with pytest.raises(BatchRejected, match="field Plan is unknown"):
        read(status, {"error": {"message": "field Plan is unknown"}})


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_no_fault_of_any_record(status: int) -> None:
    with pytest.raises(LoginRefused, match=f"status {status}"):
        read(status)


@pytest.mark.parametrize(
    ("status", "code"),
    [(408, "DESTINATION_UNAVAILABLE"), (425, "DESTINATION_UNAVAILABLE"), (429, "RATE_LIMIT")]
    + [(status, "DESTINATION_UNAVAILABLE") for status in (500, 502, 503, 504)],
)
def test_overload_and_outage_are_tried_again(status: int, code: str) -> None:
    with pytest.raises(TryLater) as raised:
        read(status, retry_after="7")
    assert (raised.value.code, raised.value.retry_after) == (code, timedelta(seconds=7))


def test_a_redirect_is_an_error_that_says_where_to() -> None:
    with pytest.raises(DestinationError, match=r"redirects to https://new/, .*not followed"):
        read(308, location="https://new/")


def test_a_missing_endpoint_is_no_fault_of_any_record() -> None:
    with pytest.raises(DestinationError, match="answered 404"):
        read(404)


def test_messages_are_short_and_hold_no_secret_and_no_page_of_a_proxy() -> None:
    with pytest.raises(BatchRejected) as raised:
        read(400, {"message": "token s3cret: " + "x" * 2000})
    assert "s3cret" not in raised.value.message
    assert len(raised.value.message) < 600
    with pytest.raises(TryLater) as later:
        read(502, "<html><h1>Bad Gateway</h1></html>")
    assert str(later.value) == "POST http://crm answered 502"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("2026-01-01T12:00:30Z", 30),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after({"retry-after": value}, NOW) == expected


def test_an_unknown_outcome_says_why() -> None:
    assert read(200, "", {})[0] == Unknown("POST http://crm answered 200, but without a list of results at 'results'")
