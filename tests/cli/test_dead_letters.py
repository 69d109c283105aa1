"""`retl dlq` on real parts: two accounts that the CRM refuses, and what a person can do about them."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.accounts import Accounts, project
from tests.cli.retl_command import Answer, retl
from tests.examples.crm_process import RunningCrm, running_crm

COUNTRY, EMPLOYEES = "A-1007", "A-1010"
"""Accounts whose country, or number of employees, the CRM refuses."""
NAME = "Juniper, Kale & Sons Inc."
"""Of the latter."""
RUN = ("-f", "accounts.yaml", "--secrets-dir", "secrets")


@pytest.fixture(scope="module")
def shared_crm() -> Iterator[RunningCrm]:
    with running_crm("--calls-per-second", "1000", "--burst", "1000") as running:
        yield running


@pytest.fixture
def refused(tmp_path: Path, shared_crm: RunningCrm) -> Accounts:
    """A project after its first run."""
    with shared_crm.client() as http:
        http.delete("/api/objects/account").raise_for_status()
    accounts = project(tmp_path, shared_crm)
    accounts.write_rows([row for row in accounts.rows if COUNTRY in row or EMPLOYEES in row])
    assert retl("run", *RUN, cwd=tmp_path).code == 3
    return accounts


def _dlq(accounts: Accounts, *args: str) -> Answer:
    return retl("dlq", *args, cwd=accounts.folder)


def _letters(accounts: Accounts, *args: str) -> dict[str, dict[str, Any]]:
    """Entries by their account."""
    found = _dlq(accounts, "list", "-o", "json", *args).objects
    return {letter["record_keys"]["account_id"]: letter for letter in found}


def _mend(accounts: Accounts) -> None:
    accounts.write_rows([row.replace(",France,", ",FR,").replace(",US,0,", ",US,1,") for row in accounts.rows])


def test_a_page_says_how_to_get_the_next_one(refused: Accounts) -> None:
    first = _dlq(refused, "list", "--limit", "1", "--code", "DESTINATION_VALIDATION", "--since", "1d")
    *page, more = first.out.splitlines()
    assert page[0].split() == ["ID", "CODE", "ATTEMPTS", "LAST", "SEEN"]
    assert len(page) == 3
    second = retl(*shlex.split(more.removeprefix("more: retl ")), cwd=refused.folder)
    assert second.code == 0
    assert len(second.out.splitlines()) == 3
    assert {line.split()[0] for line in (page[2], second.out.splitlines()[2])} == {
        f"account_id={COUNTRY}",
        f"account_id={EMPLOYEES}",
    }
    last = _letters(refused, "--limit", "1")
    (cursor,) = [letter["cursor"] for letter in last.values()]
    assert _letters(refused, "--after", cursor).keys() == {COUNTRY, EMPLOYEES} - last.keys()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["list", "--since", "2h", "--code", "NULL_KEY"], "no open dead letters"),
        (["list", "--since", "2999-01-01"], "no open dead letters"),
        (["list", "--resolved"], "no resolved dead letters"),
        (["list", "--since", "soon"], "--since: 'soon' is no moment; write 2h, 7d"),
        (["list", "--after", "nowhere"], "retl: "),
        (["show", "nothing"], "no dead letter 'nothing' in namespace 'default'; retl dlq list shows those there are"),
        (["resolve"], "choose entries by their ids, by --code, or all of them with --all"),
        (["resolve", "x", "--all"], "choose entries by their ids, by --code, or all of them with --all"),
        (["resolve", "--all"], "this would dismiss 2 entries, whose rows are left out until they change; add --yes"),
        (["erase", "--subject", "email"], "write a destination field and its value, such as email=ada@example.com"),
        (["erase", "--subject", "name=x"], "cannot be replayed or looked at again; add --yes to do so"),
        (["replay", *RUN, "nothing"], "accounts-to-crm has no dead letter 'nothing'"),
        (["replay", *RUN, "x", "--code", "NULL_KEY"], "choose entries by their ids or by --code, not both"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_told_and_does_nothing(untouched: Accounts, args: list[str], says: str) -> None:
    answer = _dlq(untouched, *args)
    assert answer.code == (0 if says.startswith("no ") and "show" not in args else 2)
    assert says in answer.err
    assert not answer.out


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory, shared_crm: RunningCrm) -> Accounts:
    """A project after its first run, for tests that change nothing."""
    accounts = project(tmp_path_factory.mktemp("untouched"), shared_crm)
    accounts.edit(
        "ReverseETLSync",
        mappings=[
            {"source": "account_id", "destination": "account_id", "key": True},
            {"source": "name", "destination": "name", "sensitive": True},
            {"source": "country", "destination": "country"},
            {"source": "employees", "destination": "employees", "cast": "integer"},
        ],
    )
    assert retl("run", *RUN, cwd=accounts.folder).code == 3
    assert _letters(accounts).keys() == {COUNTRY, EMPLOYEES}
    return accounts


def test_one_entry_is_shown_with_what_to_do_and_its_record_only_on_request(untouched: Accounts) -> None:
    letter = _letters(untouched)[EMPLOYEES]
    plain = _dlq(untouched, "show", letter["id"])
    assert plain.code == 0
    assert f"  record      account_id={EMPLOYEES}\n" in plain.out
    assert "  state       open: waits until its row changes, or until it is replayed\n" in plain.out
    assert f"to send it again: retl dlq replay -f FILES --sync accounts-to-crm {letter['id']}\n" in plain.out
    assert NAME not in plain.out
    assert NAME in _dlq(untouched, "show", letter["id"], "--payload").out
    known = _dlq(untouched, "show", letter["id"], "-f", "accounts.yaml").out
    assert NAME not in known
    assert "    employees: 0" in known
    whole = _dlq(untouched, "show", letter["id"], "-f", "accounts.yaml", "--payload", "-o", "json").object
    assert whole["payload"]["name"] == "(sensitive)"
    assert whole["code"] == "DESTINATION_VALIDATION"


def test_the_numbers_are_told_in_text_and_json(untouched: Accounts) -> None:
    assert _dlq(untouched, "stats").out.startswith(
        "2 open dead letters, 0 resolved; the oldest open one was first seen"
    )
    numbers = _dlq(untouched, "stats", "-o", "json").object
    assert numbers.pop("oldest").startswith("20")
    assert numbers == {
        "open": 2,
        "resolved": 0,
        "dropped": 0,
        "by_code": {"DESTINATION_VALIDATION": 2},
        "by_sync": {"accounts-to-crm": 2},
    }


def test_records_are_sealed_with_a_key_that_only_its_owner_can_read(untouched: Accounts) -> None:
    state = untouched.folder / ".retl"
    assert (state / "state.key").stat().st_mode & 0o777 == 0o600
    held = b"".join(file.read_bytes() for file in state.glob("state.db*"))
    assert EMPLOYEES.encode() not in held
    other = retl("dlq", "list", cwd=untouched.folder, RETL_STATE_KEY="A" * 43 + "=")
    assert other.code == 1
    assert "sealed with key" in other.err
    wrong = retl("dlq", "list", cwd=untouched.folder, RETL_STATE_KEY="short")
    assert (wrong.code, "openssl rand -base64 32" in wrong.err) == (2, True)


def test_a_dismissed_row_is_left_out_until_it_changes(refused: Accounts) -> None:
    letter = _letters(refused)[EMPLOYEES]
    assert _dlq(refused, "resolve", letter["id"]).out == "dismissed 1 dead letter\n"
    assert _dlq(refused, "resolve", letter["id"]).out == "dismissed 0 dead letters; 1 had no open entry\n"
    again = retl("run", *RUN, "-o", "json", cwd=refused.folder).object
    assert (again["skipped"], again["dead_letters"]) == (2, 1)
    assert _dlq(refused, "resolve", "--code", "DESTINATION_VALIDATION").out == "dismissed 1 dead letter\n"
    assert {each["resolution"] for each in _letters(refused, "--resolved").values()} == {"dismissed"}
    _mend(refused)
    mended = retl("run", *RUN, "-o", "json", cwd=refused.folder)
    assert (mended.code, mended.object["created"]) == (0, 2)


def test_all_are_dismissed_once_that_is_confirmed(refused: Accounts) -> None:
    assert _dlq(refused, "resolve", "--all", "--yes").out == "dismissed 2 dead letters\n"
    assert _letters(refused) == {}


def test_a_replay_sends_chosen_entries_as_the_source_has_them_now(refused: Accounts, shared_crm: RunningCrm) -> None:
    _mend(refused)
    letters = _letters(refused)
    created = shared_crm.stats()["created"]
    replayed = _dlq(refused, "replay", *RUN, letters[COUNTRY]["id"])
    assert "  of 1 entry, 1 settled\n" in replayed.out
    assert (replayed.code, shared_crm.stats()["created"]) == (3, created + 1)
    assert _letters(refused).keys() == {EMPLOYEES}
    resolved = _dlq(refused, "replay", *RUN, letters[COUNTRY]["id"])
    assert (resolved.code, "is resolved already (superseded)" in resolved.err) == (2, True)
    rest = _dlq(refused, "replay", *RUN, "-o", "json")
    assert (rest.code, rest.object["entries"], rest.object["settled"]) == (0, 1, 1)
    none = _dlq(refused, "replay", *RUN)
    assert (none.code, none.err) == (0, "accounts-to-crm: no such open dead letters, nothing to send\n")


def test_a_replay_of_stored_records_meets_the_same_refusal(refused: Accounts) -> None:
    _mend(refused)
    replayed = _dlq(refused, "replay", *RUN, "--code", "DESTINATION_VALIDATION", "--stored")
    assert replayed.code == 3
    assert "  of 2 entries, 0 settled\n" in replayed.out
    assert f"account_id={EMPLOYEES}  DESTINATION_VALIDATION" in replayed.out


def test_what_entries_hold_of_a_person_is_erased(refused: Accounts) -> None:
    letter = _letters(refused)[EMPLOYEES]
    assert _dlq(refused, "erase", "--subject", f"name={NAME}", "--yes").out == "erased 1 dead letter\n"
    assert _dlq(refused, "erase", "--subject", f"name={NAME}", "--yes").out == "erased 0 dead letters\n"
    assert NAME not in _dlq(refused, "show", letter["id"], "--payload").out
