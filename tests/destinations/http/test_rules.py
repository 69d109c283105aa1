"""Paths into replies, and what an endpoint's own words mean."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from retl.destinations.base import (
    ACKNOWLEDGED,
    BatchRejected,
    LoginRefused,
    Outcome,
    Rejected,
    Skipped,
    TryLater,
    Unknown,
)
from retl.destinations.http.paths import json_path, list_path
from retl.destinations.http.reading import HttpResults, HttpRule
from retl.destinations.http.reply import Reader
from retl.destinations.web.transport import Reply
from retl.errors import DestinationError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SENT = [b'{"id": 1}', b'{"id": 2}', b'{"id": 3}']
STORE: dict[str, Any] = {
    "store": {
        "book": [
            {"author": "Nigel Rees", "price": 8.95},
            {"author": "Evelyn Waugh", "price": 12.99},
            {"author": "Herman Melville", "isbn": "0-553-21311-3"},
        ],
        "bicycle": {"color": "red", "price": 399},
    }
}
"""After the example of RFC 9535, figure 1."""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [STORE]),
        ("$.store.book[*].author", ["Nigel Rees", "Evelyn Waugh", "Herman Melville"]),
        ("$..author", ["Nigel Rees", "Evelyn Waugh", "Herman Melville"]),
        ("$.store..price", [8.95, 12.99, 399]),
        ("$..book[2].isbn", ["0-553-21311-3"]),
        ("$..book[-1].author", ["Herman Melville"]),
        ("$['store'][\"bicycle\"]['color']", ["red"]),
        ("$.store.bicycle.*", ["red", 399]),
        ("$.store.book[7]", []),
        ("$.store.book.author", []),
        ("store.book[1].author", ["Evelyn Waugh"]),
        ("", [STORE]),
    ],
)
def test_a_path_finds_what_rfc_9535_says(path: str, found: list[Any]) -> None:
    assert json_path(path).find(STORE) == found


def test_a_name_in_brackets_may_hold_anything() -> None:
    assert json_path(r"$['it\'s a.b']").find({"it's a.b": 1}) == [1]


@pytest.mark.parametrize("path", ["$.", "$[", "$[?(@.x)]", "$[1:2]", "$['a','b']", "$x", "$.a..", "$.a b"])
def test_a_path_that_is_none_is_told_from_where_on(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be read from"):
        json_path(path)


def test_a_list_may_be_written_with_or_without_its_items() -> None:
    assert list_path("$.a[*]") == list_path("$.a") == list_path("a")
    with pytest.raises(ValueError, match="must lead to one list"):
        list_path("$..a")


def read(
    rules: Sequence[Any],
    status: int,
    body: Any,
    results: dict[str, Any] | None = None,
    operation: str = "upsert",
    repeatable: bool = True,
    headers: dict[str, str] | None = None,
) -> list[Outcome]:
    reader = Reader(
        endpoint="POST http://crm",
        success=frozenset(),
        results=None if results is None else HttpResults.model_validate(results),
        key=(("id", "id"),),
        redact=lambda text: text.replace("s3cret", "…"),
        operation=operation,
        repeatable=repeatable,
        rules=[HttpRule.model_validate(rule) for rule in rules],
    )
    return list(reader.outcomes(Reply(status, headers or {}, orjson.dumps(body)), SENT, NOW))


QUOTA = {"statuses": [403], "path": "$.error.code", "values": ["QUOTA", 7], "means": "rateLimit"}


@pytest.mark.parametrize("code", ["QUOTA", "7", 7])
def test_a_status_and_a_value_together_say_that_a_limit_is_reached(code: Any) -> None:
    with pytest.raises(TryLater) as raised:
        read([QUOTA], 403, {"error": {"code": code, "message": "slow down s3cret"}}, headers={"retry-after": "9"})
    assert (raised.value.code, raised.value.retry_after) == ("RATE_LIMIT", timedelta(seconds=9))
    assert raised.value.said == ": slow down …"


@pytest.mark.parametrize(("status", "code"), [(403, "OTHER"), (401, "QUOTA")])
def test_a_rule_that_does_not_fit_changes_nothing(status: int, code: str) -> None:
    with pytest.raises(LoginRefused):
        read([QUOTA], status, {"error": {"code": code}})


@pytest.mark.parametrize(
    ("rule", "status", "body", "error"),
    [
        ({"path": "$.error", "means": "later"}, 400, {"error": "busy"}, TryLater),
        (
            {"statuses": [400], "path": "$.code", "values": ["AUTH"], "means": "login"},
            400,
            {"code": "AUTH"},
            LoginRefused,
        ),
        ({"statuses": [422], "path": "$..field", "means": "stop"}, 422, {"errors": [{"field": "x"}]}, DestinationError),
        ({"path": "$.ok", "values": [False], "means": "refused"}, 200, {"ok": False, "error": "bad"}, BatchRejected),
        ({"statuses": [500], "means": "refused"}, 500, {"message": "bad"}, BatchRejected),
    ],
)
def test_a_rule_says_what_the_whole_reply_means(rule: Any, status: int, body: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        read([rule], status, body)
    assert type(raised.value) is error


def test_a_rule_may_call_good_what_looks_bad() -> None:
    assert read([{"statuses": [500], "means": "taken"}], 500, {"error": "x"}) == [ACKNOWLEDGED] * 3
    fine = {"path": "$.error", "values": ["none"], "means": "taken"}
    assert read([fine], 200, {"error": "none"}) == [ACKNOWLEDGED] * 3
    [outcome, *_] = read([{"statuses": [409], "means": "skipped"}], 409, {})
    assert isinstance(outcome, Skipped)


def test_the_first_rule_that_fits_counts_and_empty_values_are_not_there() -> None:
    rules = [{"path": "$.errors", "means": "stop"}, {"statuses": [200], "means": "skipped"}]
    assert all(isinstance(outcome, Skipped) for outcome in read(rules, 200, {"errors": []}))
    with pytest.raises(DestinationError):
        read(rules, 200, {"errors": [1]})


def test_a_refusal_in_a_success_leaves_doubt_where_a_call_may_not_be_made_again() -> None:
    rule = {"path": "$.error", "means": "refused"}
    outcomes = read([rule], 200, {"error": "bad"}, repeatable=False)
    assert [type(outcome) for outcome in outcomes] == [Unknown] * 3
    with pytest.raises(BatchRejected):
        read([rule], 422, {"error": "bad"}, repeatable=False)


def test_a_rule_of_results_speaks_of_single_records() -> None:
    rules = [
        {"of": "result", "path": "$.error.type", "values": ["EXISTS"], "means": "skipped"},
        {"of": "result", "path": "$.error.type", "values": ["BUSY"], "means": "later"},
        {"of": "result", "path": "$.warning", "means": "taken"},
    ]
    body = {
        "data": {
            "items": [
                {"error": {"type": "EXISTS"}, "status": 400},
                {"error": {"type": "BUSY", "text": "locked s3cret"}, "status": 400},
                {"error": {"type": "OTHER"}, "warning": "old", "status": 400},
            ]
        }
    }
    results = {"path": "$.data.items", "codeField": "error.type", "messageField": "error.text"}
    skipped, later, taken = read(rules, 200, body, results)
    assert isinstance(skipped, Skipped)
    assert later == Rejected("DESTINATION_UNAVAILABLE", "BUSY: locked …")
    assert taken == ACKNOWLEDGED


def test_a_rule_of_results_may_refuse_what_its_status_calls_good() -> None:
    rules = [{"of": "result", "path": "$.state", "values": ["error"], "means": "refused"}]
    body = {"results": [{"state": "error", "status": 200}, {"state": "done"}, {"state": "error", "status": 404}]}
    outcomes = read(rules, 200, body, {})
    assert [outcome.code if isinstance(outcome, Rejected) else "" for outcome in outcomes] == [
        "DESTINATION_VALIDATION",
        "",
        "NOT_FOUND",
    ]
