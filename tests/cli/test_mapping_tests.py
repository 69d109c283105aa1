"""`retl test`: mappings tried on rows in a file, without a source or a destination."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.cli.retl_command import Answer, retl

SYNC = """
{apiVersion: reverseetl.io/v1alpha1, kind: SyncSource, metadata: {name: files},
 spec: {connector: duckdb, config: {files: {accounts: nosuch.csv}}}}
---
{apiVersion: reverseetl.io/v1alpha1, kind: SyncDestination, metadata: {name: crm},
 spec: {connector: http, config: {url: "http://127.0.0.1:1/"}}}
---
apiVersion: reverseetl.io/v1alpha1
kind: ReverseETLSync
metadata: {name: accounts}
spec:
  query: {sourceRef: {name: files}, sql: SELECT * FROM accounts}
  primaryKey: [id]
  destinationRef: {name: crm}
  object: account
  mappings:
  - {source: id, destination: id, key: true}
  - {source: name, destination: person.name, skipNulls: true}
  - {source: revenue, destination: Revenue, cast: number}
  - {metadata: RunTime, destination: at}
"""

GOOD: dict[str, Any] = {
    "name": "a name that is not known is left out",
    "given": [{"id": 1, "name": "Ann", "revenue": "1.50"}, {"id": 2, "revenue": "7"}],
    "expect": [
        {"id": 1, "person": {"name": "Ann"}, "Revenue": 1.5, "at": "2026-01-01T00:00:00Z"},
        {"id": 2, "Revenue": 7, "at": "2026-01-01T00:00:00Z"},
    ],
}


def run(folder: Path, *tests: dict[str, Any], options: tuple[str, ...] = (), **document: Any) -> Answer:
    (folder / "sync.yaml").write_text(SYNC)
    (folder / "tests.yaml").write_text(
        yaml.safe_dump({"sync": "accounts", "tests": list(tests), **document}, sort_keys=False)
    )
    return retl("test", "-f", ".", *options, cwd=folder)


def test_a_test_passes_whose_records_are_what_it_expects(tmp_path: Path) -> None:
    answer = run(tmp_path, GOOD)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "accounts: a name that is not known is left out: ok\n"


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (
            {"expect": [GOOD["expect"][0] | {"Revenue": 2, "City": "Graz"}, {"id": 2}]},
            [
                "expect[0].Revenue: expected 2, but it is 1.50",
                'expect[0].City: expected "Graz", but the record has no such field',
                "expect[1].Revenue: the record has 7, which is not expected",
                'expect[1].at: the record has "2026-01-01T00:00:00Z", which is not expected',
            ],
        ),
        (
            {"expect": GOOD["expect"][:1]},
            [
                "expect: 1 records are listed, but record 1 is made too: "
                '{"id": 2, "Revenue": 7, "at": "2026-01-01T00:00:00Z"}'
            ],
        ),
        ({"expect": [*GOOD["expect"], {"id": 3}]}, ["expect[2]: there is no such record; 2 rows are valid"]),
        ({"invalid": [{"code": "NULL_KEY"}]}, ["invalid[0]: expected NULL_KEY, but no further row is invalid"]),
        (
            {"given": [{"id": 1, "name": "Ann", "revenue": "much"}], "expect": []},
            [
                "invalid: a row is invalid that should not be: CAST_FAILED: "
                "mappings[2] (Revenue): column \"revenue\" is 'much', which cannot be cast to number"
            ],
        ),
        (
            {"given": [{"id": 1}]},
            ['mappings[1].source: unknown column "name"; the query returns: id; mappings[2].source: unknown column '
             '"revenue"; the query returns: id'],
        ),
        (
            {"given": [{"id": 1, "name": 1}, {"id": "a", "name": "b"}]},
            ["given: column 'id' holds several types; quote its values, and set types"],
        ),
        ({"types": {"id": "regclass"}}, ["types.id: cannot cast to regclass; use INTEGER"]),
        ({"types": {"name": "DATE"}}, ["given: Conversion Error: invalid date field format: \"Ann\""]),
    ],
)  # fmt: skip
def test_a_test_that_fails_says_what_differs(tmp_path: Path, change: dict[str, Any], lines: list[str]) -> None:
    answer = run(tmp_path, GOOD | change)
    assert (answer.code, answer.err) == (1, "")
    first, *others = answer.out.splitlines()
    assert first == "accounts: a name that is not known is left out: failed"
    assert len(others) == len(lines)
    assert all(found.startswith(f"  {line}") for found, line in zip(others, lines, strict=True)), others


def test_rows_that_must_not_be_sent_are_expected_with_their_reason(tmp_path: Path) -> None:
    rows = [{"id": None, "name": "a", "revenue": "1"}, {"id": 1, "name": "b", "revenue": "x"}]
    twice = [{"id": 2, "name": "c", "revenue": "1"}] * 2
    reasons = [("NULL_KEY", "key"), ("CAST_FAILED", "'x'"), ("DUPLICATE_KEY", ""), ("DUPLICATE_KEY", "same key")]
    invalid = [{"code": code, "message": message} for code, message in reasons]
    test = {"name": "bad rows", "given": rows + twice, "invalid": invalid}
    assert run(tmp_path, test).code == 0
    wrong = run(
        tmp_path, test | {"invalid": [{"code": "CONFLICT"}, {"code": "CAST_FAILED", "message": "z"}, *invalid[2:]]}
    )
    assert [line.partition(":")[0] for line in wrong.out.splitlines()[1:]] == [
        "  invalid[0].code",
        "  invalid[1].message",
    ]


def test_types_say_what_columns_are_of_which_the_values_do_not(tmp_path: Path) -> None:
    test = {"name": "types", "given": [{"id": 1}], "expect": [{"id": 1, "Revenue": None, "at": "2026-01-01T00:00:00Z"}]}
    assert run(tmp_path, test, types={"name": "VARCHAR", "revenue": "DECIMAL(18,2)"}).code == 0


def test_results_are_one_object_a_line_and_for_ci_a_junit_file(tmp_path: Path) -> None:
    bad = GOOD | {"name": "<bad>", "expect": []}
    answer = run(tmp_path, GOOD, bad, options=("-o", "json", "--junit", "junit.xml"))
    assert answer.code == 1
    assert [(each["sync"], each["test"], len(each["differences"])) for each in answer.objects] == [
        ("accounts", GOOD["name"], 0),
        ("accounts", "<bad>", 2),
    ]
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [len(case) for case in suite] == [0, 1]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"sync": "nosuch"}, "tests.yaml: sync: no ReverseETLSync default/nosuch; there are: default/accounts"),
        ({"tests": []}, "tests"),
        ({"given": []}, "given"),
    ],
)
def test_a_wrong_test_file_is_no_failed_test(tmp_path: Path, document: dict[str, Any], words: str) -> None:
    answer = run(tmp_path, GOOD, **document)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err


def test_files_without_tests_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sync.yaml").write_text(SYNC)
    answer = retl("test", "-f", "sync.yaml", cwd=tmp_path)
    assert answer.code == 2
    assert "no tests in these files" in answer.err
