"""The search for the records that a server refuses without saying which."""

import random

import pytest

from retl.destinations.base import Rejected
from retl.destinations.tables.search import refused

REASON = Rejected("DESTINATION_VALIDATION", "no")


class Server:
    """Takes a range of records as a whole, or refuses it for the sake of the bad ones."""

    def __init__(self, *bad: int) -> None:
        self.bad = set(bad)
        self.attempts = 0
        self.written: list[int] = []

    def attempt(self, first: int, end: int) -> Rejected | None:
        self.attempts += 1
        if self.bad & {*range(first, end)}:
            return REASON
        self.written += range(first, end)
        return None


@pytest.mark.parametrize("bad", [set(), {0}, {99}, {3, 4}, {0, 50, 99}, set(range(100))], ids=lambda bad: f"{len(bad)}")
def test_every_good_record_is_written_once_and_every_bad_one_named(bad: set[int]) -> None:
    server = Server(*bad)
    assert refused(100, server.attempt) == dict.fromkeys(bad, REASON)
    assert sorted(server.written) == sorted({*range(100)} - bad)


def test_one_bad_record_costs_twice_the_halvings() -> None:
    for bad in random.Random(8).sample(range(1024), 20):
        server = Server(bad)
        refused(1024, server.attempt)
        assert server.attempts <= 1 + 2 * 10


def test_no_records_are_no_attempt() -> None:
    server = Server()
    assert refused(0, server.attempt) == {}
    assert server.attempts == 0
