"""What is kept of a request, and what its status means for each record."""

from typing import Any

import orjson
import pytest

from retl.destinations.base import ACKNOWLEDGED, Outcome, Rejected, Unknown
from retl.destinations.google_ads.faults import said
from retl.destinations.google_ads.requests import LONGEST, Request
from retl.destinations.google_ads.status import destination_status, results

PREFIX = "PROCESSING_ERROR_REASON_"


@pytest.mark.parametrize(
    "refused", [{}, {0: "A: x"}, {1: "A", 2: "A", 3: "A", 5: "B", 7: "A"}, {3: 'of "one" — ü'}, {8: "A", 9: "A"}]
)
def test_a_request_is_read_as_it_was_kept(refused: dict[int, str]) -> None:
    request = Request("t-1", 10, refused)
    assert Request.of(request.handle()) == request
    assert request.sent == [place for place in range(10) if place not in refused]


def test_ten_thousand_members_with_one_fault_are_kept_and_every_other_at_fault_is_not() -> None:
    all_but_one = Request("t", 10_000, dict.fromkeys(range(9_999), "A"))
    assert all_but_one.fits
    assert len(all_but_one.handle()) < LONGEST
    assert not Request("t", 10_000, dict.fromkeys(range(0, 10_000, 2), "A")).fits


def status(named: str, *errors: tuple[str, int, Any]) -> dict[str, Any]:
    counts = [
        {
            "reason": f"{PREFIX}{reason}",
            "recordCount": str(count),
            **({} if places is None else {"recordIndices": places}),
        }
        for reason, count, places in errors
    ]
    return {"requestStatus": named, "errorInfo": {"errorCounts": counts}}


def rejected(code: Any, words: str) -> Rejected:
    return Rejected(code, f"{PREFIX}{words}")


@pytest.mark.parametrize(
    ("found", "rest"),
    [
        (status("SUCCESS"), ACKNOWLEDGED),
        (status("FAILED", ("NO_CONSENT", 3, None)), rejected("DESTINATION_VALIDATION", "NO_CONSENT (3)")),
        (status("FAILED", ("INTERNAL_ERROR", 3, None)), rejected("DESTINATION_UNAVAILABLE", "INTERNAL_ERROR (3)")),
        (
            status("FAILED", ("INVALID_FORMAT", 1, None), ("KEK_PERMISSION_DENIED", 2, None)),
            rejected("DESTINATION_AUTH", f"INVALID_FORMAT (1), {PREFIX}KEK_PERMISSION_DENIED (2)"),
        ),
        (status("FAILED"), Rejected("DESTINATION_UNAVAILABLE", "Google failed the request and gave no reason")),
    ],
)
def test_a_request_that_ended_as_a_whole_speaks_of_all(found: dict[str, Any], rest: Outcome) -> None:
    assert results(found, Request("t", 3)).rest == rest


def test_places_of_failures_are_those_of_the_batch() -> None:
    request = Request("t", 5, {0: "EARLIER: x", 2: "EARLIER: x"})
    told = results(status("PARTIAL_SUCCESS", ("INVALID_FORMAT", 1, [1]), ("INTERNAL_ERROR", 1, [2])), request)
    earlier = Rejected("DESTINATION_VALIDATION", "EARLIER: x")
    assert told.rest == ACKNOWLEDGED
    assert dict(told.outcomes) == {
        "0": earlier,
        "2": earlier,
        "3": rejected("DESTINATION_VALIDATION", "INVALID_FORMAT"),
        "4": rejected("DESTINATION_UNAVAILABLE", "INTERNAL_ERROR"),
    }


@pytest.mark.parametrize("places", [None, [1], [0, 0], [0, 7], 3, ["one", 2]])
def test_where_not_every_failure_has_its_place_nobody_is_acknowledged(places: Any) -> None:
    told = results(status("PARTIAL_SUCCESS", ("INVALID_FORMAT", 2, places)), Request("t", 5))
    assert isinstance(told.rest, Unknown)
    assert f"{PREFIX}INVALID_FORMAT (2)" in told.rest.message


@pytest.mark.parametrize("counts", [5, [5], [{"recordCount": "some", "recordIndices": [1]}]])
def test_counts_that_are_none_acknowledge_nobody(counts: Any) -> None:
    told = results({"requestStatus": "PARTIAL_SUCCESS", "errorInfo": {"errorCounts": counts}}, Request("t", 5))
    assert isinstance(told.rest, Unknown)


@pytest.mark.parametrize("details", [5, [5], [{"fieldViolations": 5}], [{"reason": "ODD", "metadata": []}]])
def test_an_error_whose_details_are_odd_is_an_error_all_the_same(details: Any) -> None:
    found = said(orjson.dumps({"error": {"status": "INVALID_ARGUMENT", "message": "no", "details": details}}))
    assert found is not None
    assert (found.status, found.members, found.words) == ("INVALID_ARGUMENT", {}, "no")


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"requestStatusPerDestination": []},
        {"requestStatusPerDestination": [{"requestStatus": "PROCESSING"}]},
        {"requestStatusPerDestination": [{}]},
    ],
)
def test_a_request_is_under_way_until_google_says_that_it_ended(body: Any) -> None:
    assert destination_status(body) is None
