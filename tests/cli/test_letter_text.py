"""Dead letters, results and failures as a person reads them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retl.cli import failures, letters, tables
from retl.cli.dead_letters import moment
from retl.cli.options import command
from retl.cli.text import columns, cut, plain, seconds, table
from retl.engine.progress import Step
from retl.errors import InvalidInput
from retl.resources.run import RunCounts
from retl.runspec.result import RunResult
from retl.state.store import DeadLetter, RunRecord, RunState, Statistics

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _letter(**changes: Any) -> DeadLetter:
    base: dict[str, Any] = {
        "id": "0199-a",
        "sync_uid": "u",
        "sync": "accounts",
        "namespace": "default",
        "run": "accounts-1",
        "code": "DESTINATION_VALIDATION",
        "message": "employees: must be\nat least 0",
        "record_keys": {"id": "A-1"},
        "attempts": 2,
        "first_seen_at": NOON - timedelta(days=1),
        "last_seen_at": NOON,
    }
    return DeadLetter(**(base | changes))


def test_a_list_has_the_id_and_the_reason_within_the_width() -> None:
    shown = letters.letter_table([_letter(), _letter(id="0199-b", message="x" * 300)], 60).splitlines()
    assert shown[:3] == [
        "ID      CODE                    ATTEMPTS  LAST SEEN",
        "0199-a  DESTINATION_VALIDATION         2  2026-01-31 12:00Z",
        "    id=A-1  employees: must be at least 0",
    ]
    assert (len(shown[4]), shown[4][-1]) == (60, "…")


def test_the_sync_is_named_where_there_are_several() -> None:
    assert "SYNC" not in letters.letter_table([_letter()], 100)
    assert "leads" in letters.letter_table([_letter(), _letter(sync="leads")], 100)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "open: waits until its row changes, or until it is replayed"),
        ({"code": "RATE_LIMIT"}, "open: sent again by the next run"),
        ({"code": "OUTCOME_UNKNOWN"}, "or held for a person where delivery.onUnknown is Hold"),
        ({"resolved_at": NOON, "resolution": "superseded"}, "resolved 2026-01-31 12:00Z: superseded"),
    ],
)
def test_an_entry_says_how_it_stands(changes: dict[str, Any], says: str) -> None:
    assert says in " ".join(letters.letter_page(_letter(**changes), None, 100).split())


def test_a_payload_is_shown_field_by_field_with_every_digit() -> None:
    shown = letters.letter_page(_letter(), b'{"id":"A-1","amount":1.10,"big":123456789012345678901234567890}', 100)
    assert shown.splitlines()[-4:] == [
        "  payload",
        '    id: "A-1"',
        "    amount: 1.10",
        "    big: 123456789012345678901234567890",
    ]


@pytest.mark.parametrize(
    ("sensitive", "kept"),
    [
        (["email"], b'{"email":"(sensitive)","address":{"city":"Wien","zip":1.50},"tags":["a","b"]}'),
        (["address.city"], b'{"email":"x","address":{"city":"(sensitive)","zip":1.50},"tags":["a","b"]}'),
        (["tags[1]"], b'{"email":"x","address":{"city":"Wien","zip":1.50},"tags":["a","(sensitive)"]}'),
        (["phone", "tags[7]", "email.a"], b'{"email":"x","address":{"city":"Wien","zip":1.50},"tags":["a","b"]}'),
    ],
)
def test_sensitive_fields_are_hidden_and_nothing_else_changes(sensitive: list[str], kept: bytes) -> None:
    payload = b'{"email":"x","address":{"city":"Wien","zip":1.50},"tags":["a","b"]}'
    assert letters.redacted(payload, sensitive) == kept


def test_a_field_whose_name_looks_like_a_path_is_hidden_too() -> None:
    assert json.loads(letters.redacted(b'{"a.b":1,"a":{"b":2}}', ["a.b"])) == {"a.b": "(sensitive)", "a": {"b": 2}}


def test_numbers_are_told_by_code_and_by_sync_most_first() -> None:
    numbers = Statistics(5, 2, 7, {"NULL_KEY": 1, "CONFLICT": 4}, {"leads": 5}, NOON)
    assert letters.statistics_text(numbers, 100) == (
        """\
5 open dead letters, 2 resolved; the oldest open one was first seen 2026-01-31 12:00Z

CODE      OPEN
CONFLICT     4
NULL_KEY     1

SYNC   OPEN
leads     5

7 refused records of the last run not kept, because there were too many (deadLetters.maxEntries);
the next run sends them again"""
    )


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2h", NOON - timedelta(hours=2)),
        ("1d12h", NOON - timedelta(hours=36)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        ("2026-01-30T10:00:00+02:00", datetime(2026, 1, 30, 8, tzinfo=UTC)),
    ],
)
def test_since_is_a_length_of_time_or_a_moment(text: str, read: datetime) -> None:
    assert moment(text, NOON) == read


@pytest.mark.parametrize("text", ["yesterday", "", "999999d999999d", "-1h"])
def test_since_that_is_neither_is_told_what_to_write(text: str) -> None:
    with pytest.raises(InvalidInput, match="write 2h, 7d, 2026-01-31 or 2026-01-31T23:59:00Z"):
        moment(text, NOON)


COUNTS = RunCounts(read=10, created=1, updated=2, deleted=3, unknown=4)


def test_a_result_is_one_line_whose_sum_adds_up() -> None:
    result = RunResult(run="r", sync="accounts", status="Succeeded", counts=COUNTS, duration_seconds=75)
    assert tables.result_line(result, 100) == (
        "accounts: Succeeded in 1 min 15 s, read 10 = 1 created + 2 updated + 3 deleted + 4 unknown"
    )


@pytest.mark.parametrize(
    ("state", "reason", "says"),
    [
        ("Interrupted", "", "its process vanished without a last word, and the next run goes on from what was"),
        ("Failed", "SourceFailed", "4 unknown; SourceFailed"),
        ("Running", "", "4 unknown"),
    ],
)
def test_a_past_run_says_what_became_of_it(state: RunState, reason: str, says: str) -> None:
    run = RunRecord("u", "accounts-1", "s", "accounts", "default", state, 1, NOON, None, reason, counts=COUNTS)
    shown = tables.run_table([run], 200)
    assert shown.splitlines()[1].split()[:5] == ["accounts-1", "Sync", state, "2026-01-31", "12:00Z"]
    assert says in shown


@pytest.mark.parametrize(
    ("step", "reason", "counts", "says"),
    [
        (
            None,
            "DestinationAuth",
            RunCounts(),
            ["before it read anything (DestinationAuth)", "to do: put a valid login"],
        ),
        ("extract", "SourceFailed", RunCounts(), ["while reading the source (SourceFailed)", "cause: no such table"]),
        ("deliver", "CanaryFailed", COUNTS, ["while sending", "kept:  6 records that the destination acknowledged"]),
        (
            "commit",
            "StateUnavailable",
            COUNTS,
            ["acknowledged: 6 records; those that could not be recorded are sent again by the next run"],
        ),
    ],
)
def test_a_failure_says_where_why_what_is_kept_and_what_to_do(
    step: Step | None, reason: str, counts: RunCounts, says: list[str]
) -> None:
    result = RunResult(
        run="r", sync="a", status="Failed", reason=reason, message="no such table\n  x\x1b", counts=counts
    )
    shown = f"{failures.headline(result, step)}\n{failures.story(result, 100)}"
    assert all(words in shown for words in says), shown
    assert "\x1b" not in shown
    assert ("kept:" in shown) == (bool(counts.read) and reason != "StateUnavailable")


def test_a_command_to_copy_quotes_its_words_and_hides_a_state_url_that_may_hold_a_password() -> None:
    shown = command("dlq show", "a b", state="postgresql://u:secret@h/d", sync="s", namespace="n")
    assert shown == "retl dlq show --sync s -n n 'a b'"
    assert command("dlq list", state="sqlite:///my state.db") == "retl dlq list --state 'sqlite:///my state.db'"


def test_columns_line_up_under_wide_and_combining_characters() -> None:
    shown = table(["name", "n"], [["日本", 1], ["e\N{COMBINING ACUTE ACCENT}", 10]]).splitlines()
    assert shown == ["NAME   N", "日本   1", "e\N{COMBINING ACUTE ACCENT}     10"]
    assert cut("日本語", 5) == "日本…"
    assert columns(cut("日本語", 5)) == 5


@pytest.mark.parametrize(("text", "shown"), [("a\r\n b", "a b"), ("\x1b[1m", "\\x1b[1m"), ("\u202eabc", "\\u202eabc")])
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("length", "shown"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_lengths_of_time_are_told_as_people_do(length: float, shown: str) -> None:
    assert seconds(length) == shown
