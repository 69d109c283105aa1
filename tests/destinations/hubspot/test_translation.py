"""What HubSpot is sent, and what its replies mean: pure."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from retl.destinations.base import ACKNOWLEDGED, LoginRefused, Outcome, Rejected, Skipped, TryLater, Unknown
from retl.destinations.hubspot.errors import call_failure, problem_of, rate, until_midnight
from retl.destinations.hubspot.records import Link, Record, input_of, record_of
from retl.destinations.hubspot.results import Reader
from retl.destinations.web.transport import Reply

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
COMPANY = Link("companies", "HUBSPOT_DEFINED", 279)
RECORDS = {place: Record(f"k{place}", {"ref": f"k{place}", "name": "Jane Roe"}) for place in range(3)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("null", ""),
        ("true", "true"),
        ("12345678901234567890", "12345678901234567890"),
        ("0.10", "0.10"),
        ('"Zoë"', "Zoë"),
        ('["a","b"]', "a;b"),
        ('{"x":1}', '{"x":1}'),
    ],
)
def test_every_value_becomes_a_text(value: str, text: str) -> None:
    assert record_of(f'{{"name":{value}}}'.encode(), None).properties == {"name": text}


def test_a_property_that_is_skipped_is_not_sent() -> None:
    assert record_of(b'{"ref":"k1"}', "ref") == Record("k1", {"ref": "k1"})


def test_associations_are_ids_one_or_several_and_each_once() -> None:
    record = record_of(b'{"ref":"k","associations":{"companies":7,"deals":["1","2","1"],"tickets":null}}', "ref")
    assert record.links == {"companies": ["7"], "deals": ["1", "2"]}


@pytest.mark.parametrize(
    ("operation", "key", "sent"),
    [
        ("upsert", "ref", {"id": "k", "idProperty": "ref"}),
        ("update", "hs_object_id", {"id": "k"}),
        ("insert", "ref", {"associations": [{"to": {"id": "7"}, "types": COMPANY.types}]}),
    ],
)  # fmt: skip
def test_an_input_names_the_record_as_the_call_wants_it(operation: str, key: str, sent: dict[str, Any]) -> None:
    record = Record("k", {"name": "x"}, {"companies": ["7"]})
    always = {"objectWriteTraceId": "5", "properties": {"name": "x"}}
    assert input_of(operation, 5, record, key, {"companies": COMPANY}) == {**sent, **always}


def result(place: int | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "9", **({} if place is None else {"objectWriteTraceId": str(place)}), **more}


def error(category: str = "VALIDATION_ERROR", message: str = "wrong", **context: Any) -> dict[str, Any]:
    return {"status": "error", "category": category, "message": message, "context": context}


def invalid(words: str) -> Rejected:
    return Rejected("DESTINATION_VALIDATION", words)


UNKNOWN = Unknown("HubSpot's answer does not say what became of the record")
WRONG = invalid("VALIDATION_ERROR: wrong")
OK = ACKNOWLEDGED


@pytest.mark.parametrize(
    ("said", "outcomes"),
    [
        ({"results": [result(0), result(1), result(2)]}, [OK] * 3),
        ({"results": [result(2), result(0)], "errors": [error(objectWriteTraceId=["1"])]}, [OK, WRONG, OK]),
        ({"results": [result(0)], "errors": [error(ids=["K1", "k2"])]}, [OK, WRONG, WRONG]),
        ({"results": [result(properties={"ref": "K2"}), result(0)]}, [OK, UNKNOWN, OK]),
        ({"results": [result(), result(), result()]}, [OK] * 3),
        ({"results": [result(), result()], "errors": [error(objectWriteTraceId=["0"])]}, [WRONG, OK, OK]),
        ({"results": [result(), result()], "errors": [error()]}, [UNKNOWN] * 3),
        ({"results": [result(0)], "errors": [error(), error()]}, [OK, *[invalid("VALIDATION_ERROR")] * 2]),
        ({"results": [], "status": "COMPLETE"}, [UNKNOWN] * 3),
        ({}, [UNKNOWN] * 3),
        ({"results": [result(1), result(1)], "errors": [error(objectWriteTraceId=["1"])]}, [UNKNOWN, WRONG, UNKNOWN]),
    ],
)  # fmt: skip
def test_each_record_ends_with_what_the_reply_says_of_it(said: dict[str, Any], outcomes: list[Outcome]) -> None:
    assert Reader("upsert", "ref", str).answers(said, RECORDS).outcomes == outcomes


def conflict(words: str) -> Rejected:
    return Rejected("CONFLICT", words)


def taken(name: str) -> str:
    return (
        f'Property values were not valid: [{{"error":"CONFLICTING_UNIQUE_VALUE","name":"{name}","message":"7 has it"}}]'
    )


@pytest.mark.parametrize(
    ("operation", "key", "said", "outcome"),
    [
        ("insert", "email", error("CONFLICT", "exists"), Skipped("the record exists")),
        ("insert", "ref", error("CONFLICT", "exists"), conflict("CONFLICT: exists")),
        ("insert", "ref", error(message=taken("ref")), Skipped("the record exists")),
        ("insert", "ref", error(message=taken("badge")), conflict("CONFLICTING_UNIQUE_VALUE (badge): 7 has it")),
        ("update", "ref", error("OBJECT_NOT_FOUND"), Skipped("there is no such record")),
        ("upsert", "ref", error("OBJECT_NOT_FOUND", "gone"), Rejected("NOT_FOUND", "OBJECT_NOT_FOUND: gone")),
        ("upsert", "ref", error("RATE_LIMITS", "slow"), Rejected("RATE_LIMIT", "RATE_LIMITS: slow")),
        ("upsert", "ref", error("NEW_CATEGORY", "new"), Rejected("UNKNOWN", "NEW_CATEGORY: new")),
        ("upsert", "ref", error(message="Jane Roe is no name"), invalid("VALIDATION_ERROR: … is no name")),
    ],
)  # fmt: skip
def test_a_category_becomes_one_of_our_codes(operation: str, key: str, said: dict[str, Any], outcome: Outcome) -> None:
    assert Reader(operation, key, str).outcome(problem_of(said), RECORDS[0]) == outcome


def test_the_documented_error_is_read() -> None:
    said = {
        "status": "error",
        "message": "This will be a human readable message with details about the error.",
        "errors": [
            {
                "message": "discount was not a valid number",
                "code": "INVALID_INTEGER",
                "context": {"propertyName": ["discount"]},
            }
        ],
        "category": "VALIDATION_ERROR",
    }
    assert problem_of(said).words == "INVALID_INTEGER (discount): discount was not a valid number"


def reply(status: int, body: Any = None, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, orjson.dumps(body))


@pytest.mark.parametrize(
    ("answered", "code", "wait"),
    [
        (reply(429, {"policyName": "TEN_SECONDLY_ROLLING"}), "RATE_LIMIT", timedelta(seconds=10)),
        (reply(429, {"policyName": "TEN_SECONDLY_ROLLING"}, retry_after="3"), "RATE_LIMIT", timedelta(seconds=3)),
        (reply(429, {"message": "You have reached your secondly limit."}), "RATE_LIMIT", timedelta(seconds=1)),
        (reply(429, {"policyName": "DAILY"}), "RATE_LIMIT", timedelta(hours=17)),
        (reply(429), "RATE_LIMIT", None),
        (reply(423), "DESTINATION_UNAVAILABLE", timedelta(seconds=2)),
        (reply(477, retry_after="600"), "DESTINATION_UNAVAILABLE", timedelta(minutes=10)),
        (reply(504), "OUTCOME_UNKNOWN", None),
    ],
)
def test_a_call_that_failed_for_hubspots_sake_is_made_again_when_that_helps(
    answered: Reply, code: str, wait: timedelta | None
) -> None:
    failure = call_failure(answered, ZoneInfo("US/Eastern"), NOW, str)
    assert isinstance(failure, TryLater)
    assert (failure.code, failure.retry_after) == (code, wait)


def test_a_missing_scope_refuses_the_login_and_hubspots_words_go_where_they_may() -> None:
    words = {"category": "MISSING_SCOPES", "message": "needs crm.objects.contacts.write"}
    failure = call_failure(reply(403, words), UTC, NOW, str)
    assert isinstance(failure, LoginRefused)
    assert "contacts.write" in failure.said
    assert "contacts.write" not in str(failure)


def test_the_day_ends_at_the_accounts_midnight_even_when_the_clock_is_turned_back() -> None:
    before_the_change = datetime(2026, 11, 1, 5, 0, tzinfo=UTC)  # 01:00 in New York, the first time
    assert until_midnight(ZoneInfo("America/New_York"), before_the_change) == timedelta(hours=24)


def test_headers_say_how_much_of_the_window_is_left() -> None:
    headers = {
        "x-hubspot-ratelimit-max": "190",
        "x-hubspot-ratelimit-remaining": "12",
        "x-hubspot-ratelimit-interval-milliseconds": "10000",
    }
    said = rate(headers, NOW)
    assert said is not None
    assert (said.remaining, said.limit, said.window, said.reset) == (12, 190, timedelta(seconds=10), None)
    empty = rate(headers | {"x-hubspot-ratelimit-remaining": "0"}, NOW)
    assert empty is not None
    assert empty.reset == timedelta(seconds=10)
    assert rate({}, NOW) is None
