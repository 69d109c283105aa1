"""What became of the people of a call, of whom Meta only tells how many were invalid."""

from typing import Any

import pytest

from retl.destinations.base import ACKNOWLEDGED, BatchRejected, Rejected, TryLater, Unknown
from retl.destinations.meta_ads.counts import Counts, counts, outcome

BEFORE = Counts(received=30, invalid=2)


@pytest.mark.parametrize(
    "body", [None, [], {}, {"num_received": 10}, {"num_received": "ten", "num_invalid_entries": 0}]
)
def test_a_reply_that_does_not_count_leaves_all_unknown(body: Any) -> None:
    assert isinstance(outcome(counts(body), 10, search=True), Unknown)


@pytest.mark.parametrize("numbers", [(10, 0), ("10", "0")])
def test_a_call_none_of_which_is_invalid_is_acknowledged(numbers: tuple[Any, Any]) -> None:
    body = {"num_received": numbers[0], "num_invalid_entries": numbers[1]}
    assert outcome(counts(body), 10, search=True) == ACKNOWLEDGED


def test_people_whom_meta_did_not_receive_are_unknown() -> None:
    assert isinstance(outcome(Counts(9, 0), 10, search=True), Unknown)


def test_some_who_are_invalid_are_searched_or_leave_all_unknown() -> None:
    with pytest.raises(BatchRejected, match="1 of 10"):
        outcome(Counts(10, 1), 10, search=True)
    assert isinstance(outcome(Counts(10, 1), 10, search=False), Unknown)


def test_where_all_are_invalid_there_is_nothing_to_search() -> None:
    assert isinstance(outcome(Counts(10, 10), 10, search=True), Rejected)


@pytest.mark.parametrize("now", [Counts(40, 2), Counts(10, 0)])
def test_counts_of_a_session_are_of_all_its_calls_or_of_the_last(now: Counts) -> None:
    assert outcome(now, 10, before=BEFORE, search=True) == ACKNOWLEDGED


@pytest.mark.parametrize("now", [Counts(40, 3), Counts(10, 1)])
def test_whoever_was_invalid_before_is_not_counted_again(now: Counts) -> None:
    with pytest.raises(BatchRejected, match="1 of 10"):
        outcome(now, 10, before=BEFORE, search=True)


def test_nobody_is_refused_for_the_sake_of_a_call_whose_reply_was_lost() -> None:
    """Its people are among the counts; told again, they are told apart."""
    with pytest.raises(TryLater):
        outcome(Counts(41, 3), 1, before=BEFORE, search=True)
    assert outcome(Counts(42, 3), 1, before=Counts(41, 3), search=True) == ACKNOWLEDGED
