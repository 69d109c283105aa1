"""The example CRM answers as its users expect, over a real socket."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from examples.crm.app import RateLimit
from tests.examples.crm_process import RunningCrm, running_crm

AIRBUS = {
    "tail_number": "N102UW",
    "built_year": 1998,
    "category": "Fixed wing multi engine",
    "manufacturer": "AIRBUS INDUSTRIE",
    "model": "A320-214",
    "engine_count": 2,
    "engine": "Turbo-fan",
    "seats": 182,
    "cruise_speed_mph": None,
}


@pytest.fixture(scope="module")
def crm() -> Iterator[RunningCrm]:
    with running_crm("--calls-per-second", "1000", "--burst", "1000") as running:
        yield running


@pytest.fixture
def http(crm: RunningCrm) -> Iterator[httpx.Client]:
    with crm.client() as client:
        client.delete("/api/objects/aircraft").raise_for_status()
        client.delete("/api/stats").raise_for_status()
        yield client


def _send(http: httpx.Client, *records: dict[str, Any]) -> list[dict[str, Any]]:
    answer = http.post("/api/objects/aircraft/batch", json={"records": records}).raise_for_status().json()
    results: list[dict[str, Any]] = answer["results"]
    return results


def test_a_record_is_created_then_updated_and_can_be_read_back(http: httpx.Client) -> None:
    assert [r["status"] for r in _send(http, AIRBUS)] == ["created"]
    assert [r["status"] for r in _send(http, AIRBUS | {"seats": 180})] == ["updated"]
    assert http.get("/api/objects/aircraft/N102UW").json()["seats"] == 180
    page = http.get("/api/objects/aircraft", params={"limit": 1}).json()
    assert page == {"total": 1, "records": [AIRBUS | {"seats": 180}]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tail_number": "X1"}, "tail_number: String should match pattern"),
        ({"built_year": 1902}, "built_year: Input should be greater than or equal to 1903, got 1902"),
        ({"built_year": 2999}, "built_year: must not be after 20"),
        ({"seats": 854}, "seats: Input should be less than or equal to 853, got 854"),
        ({"seats": "182"}, "seats: Input should be a valid integer, got '182'"),
        ({"seats": None}, "seats: Input should be a valid integer, got None"),
        ({"engine": "4 Cycle"}, "engine: '4 Cycle' is not 'Reciprocating', 'Turbo-fan'"),
        ({"category": "Rotorcraft"}, "category: 'Rotorcraft' is not 'Fixed wing multi engine' or"),
        ({"engine_count": 4, "seats": 2}, "2 seats are too few for an aircraft with 4 engines"),
        ({"nickname": "Bob"}, "nickname: Extra inputs are not permitted"),
    ],
)
def test_a_record_is_refused_with_the_reason(http: httpx.Client, change: dict[str, Any], says: str) -> None:
    (result,) = _send(http, AIRBUS | change)
    assert result["status"] == "error"
    assert says in result["message"]


def test_one_bad_record_does_not_hold_up_the_others_and_results_keep_their_index(http: httpx.Client) -> None:
    results = _send(http, AIRBUS | {"tail_number": "N1"}, AIRBUS | {"seats": 0}, AIRBUS | {"tail_number": "N2"})
    assert [(r["index"], r["status"]) for r in results] == [(0, "created"), (1, "error"), (2, "created")]
    assert http.get("/api/stats").json() == {
        "calls": 1,
        "calls_limited": 0,
        "records": 3,
        "created": 2,
        "updated": 0,
        "deleted": 0,
        "rejected": 1,
    }


def test_an_object_can_be_emptied(http: httpx.Client) -> None:
    _send(http, AIRBUS)
    http.delete("/api/objects/aircraft").raise_for_status()
    assert http.get("/api/objects/aircraft").json() == {"total": 0, "records": []}


def test_a_caller_without_the_token_is_refused(crm: RunningCrm) -> None:
    assert httpx.get(f"{crm.url}/api/stats", trust_env=False).status_code == 401


def test_an_unknown_object_is_named_with_those_there_are(http: httpx.Client) -> None:
    answer = http.post("/api/objects/airship/batch", json={"records": [AIRBUS]})
    assert answer.status_code == 404
    assert answer.json() == {"detail": "there is no object 'airship'; there are: account, aircraft"}


def test_calls_beyond_the_limit_get_429_with_the_seconds_to_wait() -> None:
    with running_crm("--calls-per-second", "0.5", "--burst", "1") as slow, slow.client() as client:
        assert [r["status"] for r in _send(client, AIRBUS)] == ["created"]
        refused = client.post("/api/objects/aircraft/batch", json={"records": [AIRBUS]})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        assert slow.stats()["calls_limited"] == 1


def test_the_limit_lets_a_call_through_after_the_wait_it_named() -> None:
    now = 100.0
    limit = RateLimit(per_second=2, burst=2, clock=lambda: now)
    assert [limit.wait() for _ in range(3)] == [0, 0, 1]
    now += 1
    assert limit.wait() == 0
