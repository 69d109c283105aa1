"""`retl run` and `retl plan` on real parts: a CSV file, the engine, SQLite, and a CRM behind a real socket."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from retl.runspec.plan import Plan
from tests.cli.accounts import REFUSED, ROWS, Accounts, project
from tests.cli.retl_command import Answer, retl
from tests.examples.crm_process import RunningCrm, running_crm

KEYS = {
    "run",
    "sync",
    "status",
    "read",
    "unchanged",
    "created",
    "updated",
    "deleted",
    "skipped",
    "invalid",
    "rejected",
    "unknown",
    "duration_seconds",
    "dead_letters",
    "dead_letters_dropped",
    "reason",
    "message",
    "plan_hash",
}
SENT = ROWS - REFUSED


@pytest.fixture(scope="module")
def shared_crm() -> Iterator[RunningCrm]:
    with running_crm("--calls-per-second", "1000", "--burst", "1000") as running:
        yield running


@pytest.fixture
def crm(shared_crm: RunningCrm) -> RunningCrm:
    """A CRM without records, that has received nothing yet."""
    with shared_crm.client() as http:
        http.delete("/api/objects/account").raise_for_status()
        http.delete("/api/stats").raise_for_status()
    return shared_crm


@pytest.fixture
def accounts(tmp_path: Path, crm: RunningCrm) -> Accounts:
    return project(tmp_path, crm)


def _command(shown: str, before: str) -> list[str]:
    """The arguments of the command that was shown after these words."""
    (line,) = [line for line in shown.splitlines() if before in line]
    return shlex.split(line.partition(f"{before}retl ")[2])


def _run(accounts: Accounts, *args: str, verb: str = "run") -> Answer:
    return retl(verb, "-f", "accounts.yaml", "--secrets-dir", "secrets", *args, cwd=accounts.folder)


def test_the_first_run_sends_everything_and_the_second_nothing(accounts: Accounts, crm: RunningCrm) -> None:
    first = _run(accounts, "-o", "json")
    assert (first.code, first.err) == (3, "")
    assert first.object.keys() == KEYS
    assert first.object["status"] == "Succeeded"
    assert [first.object[k] for k in ("read", "created", "rejected", "dead_letters")] == [ROWS, SENT, REFUSED, REFUSED]
    sent = crm.stats()["records"]
    second = _run(accounts, "-o", "json")
    assert [second.object[k] for k in ("read", "unchanged", "skipped", "created", "updated")] == [ROWS, SENT, 2, 0, 0]
    assert second.code == 3
    assert crm.stats()["records"] == sent


def test_only_a_changed_row_is_sent_and_a_mended_one_leaves_the_dead_letters(
    accounts: Accounts, crm: RunningCrm
) -> None:
    _run(accounts)
    before = crm.stats()["records"]
    accounts.write_rows([row.replace(",France,", ",FR,").replace(",340,", ",341,") for row in accounts.rows])
    answer = _run(accounts, "-o", "json")
    assert [answer.object[k] for k in ("created", "updated", "dead_letters")] == [1, 1, 1]
    assert crm.stats()["records"] == before + 2
    assert "A-1007" not in retl("dlq", "list", cwd=accounts.folder).out
    assert "A-1007" in retl("dlq", "list", "--resolved", cwd=accounts.folder).out


def test_a_person_sees_the_counts_and_the_first_refused_records_with_their_reasons(accounts: Accounts) -> None:
    answer = _run(accounts)
    first, *rest = answer.out.splitlines()
    assert re.fullmatch(r"accounts-to-crm: Succeeded in [0-9.]+ s, read 12 = 10 created \+ 2 rejected", first)
    assert rest[0] == "accounts-to-crm: 2 open dead letters"
    at = rest.index("  account_id=A-1010  DESTINATION_VALIDATION")
    assert rest[at + 1].startswith("    INVALID: employees: Input should be greater than or equal to 1")
    assert "\x1b" not in answer.out + answer.err
    assert max(map(len, answer.out.splitlines())) <= 100


def test_the_command_that_lists_the_rest_of_many_dead_letters_works_as_printed(accounts: Accounts) -> None:
    accounts.write_rows([f"B-{n},Bad {n},AT,1,1.0,2027-01-01" for n in range(9)])
    answer = _run(accounts, "--state", "sqlite:///other/my state.db")
    assert "  and 4 more" in answer.out
    listed = retl(*_command(answer.out, "to see them: "), cwd=accounts.folder)
    assert listed.code == 0
    assert len(listed.out.splitlines()) == 1 + 2 * 9


def test_a_clean_run_exits_0(accounts: Accounts) -> None:
    accounts.write_rows(accounts.rows[:3])
    assert _run(accounts).code == 0


def _take_the_destination_away(accounts: Accounts) -> None:
    accounts.edit("ReverseETLSync", delivery={"maxAttempts": 1})
    accounts.manifest.write_text(accounts.manifest.read_text().replace("http://127.0.0.1:", "http://127.0.0.1:1/"))


def test_a_person_is_told_at_which_step_a_run_failed_why_and_what_to_do(accounts: Accounts) -> None:
    _take_the_destination_away(accounts)
    answer = _run(accounts)
    headline, *story = answer.err.splitlines()
    assert (answer.code, answer.out) == (1, "")
    assert headline == "retl: accounts-to-crm: failed while sending (DestinationUnavailable)"
    assert story[0].startswith("  cause: SyncDestination crm: ")
    assert story[-1] == "  to do: see that the destination is up and can be reached from here, then run again"
    assert "\x1b" not in answer.err


def test_a_destination_that_is_down_fails_the_run_with_1_and_says_so_once(accounts: Accounts) -> None:
    _take_the_destination_away(accounts)
    answer = _run(accounts, "-o", "json")
    assert answer.code == 1
    assert answer.object["status"] == "Failed"
    assert answer.object["read"] == sum(
        answer.object[k]
        for k in ("unchanged", "created", "updated", "deleted", "skipped", "invalid", "rejected", "unknown")
    )
    assert answer.err.startswith("retl: accounts-to-crm: ")
    assert len(answer.err.splitlines()) == 1


def test_a_query_that_the_source_refuses_fails_the_run_with_its_words(accounts: Accounts) -> None:
    accounts.edit("ReverseETLSync", query={"sourceRef": {"name": "files"}, "sql": "SELECT * FROM acounts"})
    answer = _run(accounts)
    assert answer.code == 1
    assert "failed while reading the source (SourceFailed)" in answer.err
    assert "acounts" in answer.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["-f", "missing.yaml"], "missing.yaml: there is no such file"),
        (["-f", "accounts.yaml", "--sync", "acounts-to-crm"], "did you mean accounts-to-crm?"),
        (["-f", "accounts.yaml", "--state", "mysql://x/y"], "state URL: mysql:// is not known"),
        (["-f", "accounts.yaml"], "crm-login"),  # no --secrets-dir
    ],
)
def test_wrong_input_exits_2_and_says_what_to_change(accounts: Accounts, args: list[str], says: str) -> None:
    answer = retl("run", *args, cwd=accounts.folder)
    assert answer.code == 2
    assert says in answer.err


def test_nothing_runs_unless_all_syncs_are_valid(accounts: Accounts, crm: RunningCrm) -> None:
    documents = list(yaml.safe_load_all(accounts.manifest.read_text()))
    broken = yaml.safe_load(yaml.safe_dump(documents[-1]))
    broken["metadata"]["name"] = "broken"
    broken["spec"]["destinationRef"]["name"] = "nowhere"
    accounts.manifest.write_text(yaml.safe_dump_all([*documents, broken]))
    answer = _run(accounts)
    assert answer.code == 2
    assert "there is no SyncDestination 'nowhere'" in answer.err
    assert crm.stats()["calls"] == 0


def test_a_plan_counts_and_writes_nothing(accounts: Accounts, crm: RunningCrm) -> None:
    answer = _run(accounts, "-o", "json", verb="plan")
    assert answer.code == 0
    assert [answer.object[k] for k in ("status", "read", "created")] == ["Succeeded", ROWS, ROWS]
    assert len(answer.object["plan_hash"]) == 32
    document = Plan.model_validate(answer.object["plan"])
    assert (document.plan_hash, document.counts.created) == (answer.object["plan_hash"], ROWS)
    assert {change.operation for change in document.samples} == {"create"}
    assert crm.stats()["calls"] == 0
    assert _run(accounts, "-o", "json").object["created"] == SENT


def test_a_plan_shows_what_would_be_written_and_the_command_that_writes_it(accounts: Accounts, crm: RunningCrm) -> None:
    accounts.write_rows(accounts.rows[:3])
    planned = _run(accounts, verb="plan")
    assert (planned.code, planned.err) == (0, "")
    assert planned.out.startswith("Plan of accounts-to-crm: 3 to create\n  mode upsert, read 3 = 3 created\n")
    assert '+ account_id="A-1001"' in planned.out
    assert "Estimated: 1 call (1 to write)" in planned.out
    assert max(map(len, planned.out.splitlines()[:-1])) <= 100
    written = retl(*_command(planned.out, "To write exactly this: "), cwd=accounts.folder)
    assert written.code == 0
    assert "read 3 = 3 created" in written.out
    assert _run(accounts, verb="plan").out == (
        "Plan of accounts-to-crm: nothing to write\n  mode upsert, read 3 = 3 unchanged\n"
    )


def test_an_approved_plan_is_refused_once_the_rows_have_changed_and_is_good_once(
    accounts: Accounts, crm: RunningCrm
) -> None:
    accounts.write_rows(accounts.rows[:3])
    plan = _run(accounts, "-o", "json", verb="plan").object["plan_hash"]
    accounts.write_rows(accounts.rows[:2])
    moved = _run(accounts, "--approve", plan)
    assert moved.code == 4
    assert "the rows have changed since" in " ".join(moved.out.split())
    assert crm.stats()["calls"] == 0
    again = _run(accounts, "-o", "json", verb="plan").object["plan_hash"]
    assert _run(accounts, "--approve", again).code == 0
    assert _run(accounts, "--approve", again).code == 0, "nothing is left to write"
    accounts.write_rows([accounts.rows[0], accounts.rows[1].replace("58", "59")])
    assert _run(accounts, "--approve", again).code == 4


def test_a_plan_goes_into_a_pull_request_as_markdown(accounts: Accounts) -> None:
    accounts.edit("ReverseETLSync", guards={"maxChanges": 5})
    planned = _run(accounts, "-o", "markdown", verb="plan")
    assert (planned.code, planned.err) == (0, "")
    assert planned.out.startswith("### Plan of `accounts-to-crm`: 12 to create; a guard would hold it\n")
    assert "| `maxChanges` | `5` | 12 | **broken**: 12 records would be written, more than" in planned.out
    assert "<details><summary>Sample: 5 of 12 changes</summary>" in planned.out
    assert "--approve" in planned.out


def test_a_plan_that_could_not_be_made_is_said_in_every_form(accounts: Accounts) -> None:
    accounts.edit("ReverseETLSync", query={"sourceRef": {"name": "files"}, "sql": "SELECT * FROM acounts"})
    for form in ("text", "json", "markdown"):
        planned = _run(accounts, "-o", form, verb="plan")
        assert planned.code == 1
        assert "acounts" in planned.err
    assert planned.out.startswith("### No plan of `accounts-to-crm`: SourceFailed\n")


def test_no_form_of_a_plan_shows_a_sensitive_value(accounts: Accounts) -> None:
    accounts.edit(
        "ReverseETLSync",
        mappings=[
            {"source": "account_id", "destination": "account_id", "key": True},
            {"source": "name", "destination": "name", "sensitive": True},
        ],
    )
    accounts.write_rows(accounts.rows[:1])
    name = accounts.rows[0].split(",")[1]
    for form in ("text", "json", "markdown"):
        planned = _run(accounts, "-o", form, verb="plan")
        assert "A-1001" in planned.out
        assert name not in planned.out


def test_a_guard_holds_the_run_until_exactly_its_plan_is_approved(accounts: Accounts, crm: RunningCrm) -> None:
    accounts.edit("ReverseETLSync", guards={"maxChanges": 5})
    held = _run(accounts, "-o", "json")
    assert (held.code, held.object["status"], held.object["reason"]) == (4, "AwaitingApproval", "GuardBreached")
    assert crm.stats()["calls"] == 0
    plan = held.object["plan_hash"]
    text = _run(accounts).out
    assert f"--approve {plan}" in text
    assert _run(accounts, "--approve", "0" * 32).code == 4
    approved = _run(accounts, "--approve", plan, "-o", "json")
    assert (approved.code, approved.object["created"]) == (3, SENT)


def test_full_refresh_sends_every_row_again(accounts: Accounts, crm: RunningCrm) -> None:
    _run(accounts)
    before = crm.stats()["records"]
    answer = _run(accounts, "--full-refresh", "-o", "json")
    assert crm.stats()["records"] == before + ROWS
    assert answer.object["updated"] == SENT


def test_several_syncs_run_in_file_order_and_the_worst_exit_code_counts(accounts: Accounts) -> None:
    documents = list(yaml.safe_load_all(accounts.manifest.read_text()))
    sync = yaml.safe_dump(documents[-1])
    clean, failing = yaml.safe_load(sync), yaml.safe_load(sync)
    clean["metadata"]["name"] = "a-clean-one"
    clean["spec"]["query"]["sql"] = "SELECT * FROM accounts WHERE account_id < 'A-1005'"
    failing["metadata"]["name"] = "a-failing-one"
    failing["spec"]["query"]["sql"] = "SELECT nonsense FROM accounts"
    accounts.manifest.write_text(yaml.safe_dump_all([*documents, failing, clean]))
    answer = _run(accounts, "-o", "json")
    assert [(o["sync"], o["status"]) for o in answer.objects] == [
        ("accounts-to-crm", "Succeeded"),
        ("a-failing-one", "Failed"),
        ("a-clean-one", "Succeeded"),
    ]
    assert answer.code == 1
    assert _run(accounts, "--sync", "a-clean-one").code == 0


def test_a_draft_can_be_planned_and_not_run(accounts: Accounts) -> None:
    accounts.edit("ReverseETLSync", state="Draft")
    refused = _run(accounts)
    assert refused.code == 2
    assert "is a Draft" in refused.err
    assert _run(accounts, verb="plan").code == 0


def test_past_runs_are_listed_newest_first(accounts: Accounts) -> None:
    runs = [_run(accounts, "-o", "json").object["run"] for _ in range(2)]
    listed = retl("runs", "list", "-o", "json", cwd=accounts.folder).objects
    assert [each["run"] for each in listed] == runs[::-1]
    assert listed[1]["created"] == SENT
    text = retl("runs", "list", cwd=accounts.folder).out.splitlines()
    assert text[0].split()[:2] == ["RUN", "MODE"]
    assert text[1].startswith(runs[1])
    assert text[2] == "  read 12 = 10 unchanged + 2 skipped"


def test_dead_letters_as_json_have_the_reason_and_the_key(accounts: Accounts) -> None:
    _run(accounts)
    letters = retl("dlq", "list", "-o", "json", cwd=accounts.folder).objects
    assert {each["record_keys"]["account_id"] for each in letters} == {"A-1007", "A-1010"}
    assert all(each["code"] == "DESTINATION_VALIDATION" and each["message"] for each in letters)


@pytest.mark.parametrize("what", ["dlq", "runs"])
def test_looking_where_nothing_ran_says_so_and_leaves_no_database(tmp_path: Path, what: str) -> None:
    answer = retl(what, "list", cwd=tmp_path)
    assert answer.code == 2
    assert "state database .retl/state.db: there is none" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_no_secret_is_ever_printed(accounts: Accounts, crm: RunningCrm) -> None:
    (accounts.secrets / "crm-login" / "token").write_text("wrong-but-secret")
    answer = _run(accounts)
    assert answer.code == 1
    assert "refused the credentials" in " ".join(answer.err.split())
    assert "wrong-but-secret" not in answer.out + answer.err


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_schedule_that_validate_refuses_is_refused_before_anything_is_sent(
    accounts: Accounts, crm: RunningCrm, verb: str
) -> None:
    accounts.edit("ReverseETLSync", schedule={"cron": "61 * * * *"})
    answer = _run(accounts, verb=verb)
    assert answer.code == 2
    assert "ReverseETLSync accounts-to-crm: spec.schedule.cron: " in answer.err
    assert crm.stats()["records"] == 0


def test_a_state_database_that_cannot_be_used_is_a_failed_run_in_json_too(accounts: Accounts) -> None:
    (accounts.folder / "state.db").write_text("not a database, but longer than its header would be" * 20)
    answer = _run(accounts, "-o", "json", "--state", "sqlite:///state.db")
    assert (answer.code, set(answer.object), answer.object["status"]) == (1, KEYS, "Failed")
    assert answer.object["reason"] == "StateUnavailable"
    assert answer.object["message"] in answer.err


def test_an_unescaped_password_in_the_state_url_is_not_shown(accounts: Accounts) -> None:
    answer = _run(accounts, "--state", "postgresql://u:se@kret@127.0.0.1:1/x")
    assert (answer.code, "%40" in answer.err) == (2, True)
    assert "kret" not in answer.err
