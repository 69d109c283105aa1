"""Rows that must not be sent: which they are, what is said of them, and that all others go on."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from retl.engine.values import Value, cast
from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from retl.state.store import DeadLetter
from tests.destinations.endpoint import Endpoint
from tests.engine.syncs import Sync, to_endpoint
from tests.engine.warehouse import Warehouse

NOT_JSON = [
    '{"a":1,}',
    "[1,2,]",
    "[1, \n]",
    "NaN",
    "-NaN",
    '{"a":nan}',
    "Infinity",
    "-Infinity",
    "[inf]",
    "// comment\n1",
    "/* comment */ 1",
    "[1,/*,]*/2]",
    "{'a':1}",
    "{a:1}",
    "01",
    "+1",
    "1.",
    ".5",
    "0x10",
    "True",
    '"a\tb"',
    '"\\x41"',
    '"half \\ud800 of a pair"',
    "",
    " ",
    '{"a":1} trailing',
    "[1 2]",
    '["a",]',
    '["\\\\",]',
    "\ufeff1",
]
JSON = [
    '{"a": 1, "b": [true, false, null, 1E+5, -0.1]}',
    '"NaN, ]Infinity,]"',
    '{"a,]": "x,}", "\\"NaN": "\\\\"}',
    "123456789012345678901234567890.123456789",
    ' [ ] ',
    '"\\ud83d\\ude00 \\u0041 \\/"',
    "1e400",
    "null",
    "{}",
]  # fmt: skip


@pytest.fixture
def sync(warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path) -> Sync:
    """An empty table `accounts (id, email, name)` to an endpoint."""
    warehouse.run("CREATE TABLE accounts (id int, email text, name text)")
    return to_endpoint(warehouse, endpoint, state, tmp_path, "id", "name")


async def letters(state: SqlStateStore) -> list[DeadLetter]:
    return await state.dead_letters(namespace="tests", sync="sync")


@pytest.mark.parametrize("kind", [pa.string(), pa.json_()], ids=["text", "json"])
def test_only_what_the_standard_calls_json_is_cast_to_json_and_it_stays_as_it_is(kind: pa.DataType) -> None:
    sql = cast(Value(kind, "t"), "json").sql
    texts = [*JSON, *NOT_JSON] if kind == pa.string() else [*JSON, "[1,]", '{"a":NaN}', "-Infinity"]
    with duckdb.connect() as database:
        got = [
            database.execute(f"SELECT {sql} FROM (SELECT CAST(? AS VARCHAR) AS t)", [t]).fetchall()[0][0]
            for t in [*texts, None]
        ]
    assert got == [*JSON, *[None] * (len(texts) - len(JSON)), None]
    for text in JSON:
        json.loads(text)


async def test_text_that_is_not_json_is_invalid_and_no_other_row_suffers(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore
) -> None:
    warehouse.run(
        "INSERT INTO accounts SELECT i, NULL, CASE i WHEN 50 THEN '[1,]' WHEN 51 THEN 'NaN' ELSE '[1, 2]' END "
        "FROM generate_series(1, 100) i"
    )
    sync.mappings[1]["cast"] = "json"
    result = await sync.run()
    assert (result.status, result.counts) == ("Succeeded", RunCounts(read=100, created=98, invalid=2))
    assert endpoint.records["49"] == {"id": 49, "name": [1, 2]}
    found = {letter.record_keys["id"]: letter for letter in await letters(state)}
    assert set(found) == {"50", "51"}
    assert {(letter.code, letter.message) for letter in found.values()} == {
        ("CAST_FAILED", f"mappings[1] (name): column \"name\" is '{text}', which cannot be cast to json")
        for text in ("[1,]", "NaN")
    }


async def test_a_bad_row_has_its_keys_in_the_dead_letter_whatever_stands_beside_them(
    sync: Sync, warehouse: Warehouse, state: SqlStateStore
) -> None:
    warehouse.run(
        "ALTER TABLE accounts ALTER name TYPE json USING name::json",
        """INSERT INTO accounts VALUES (1, E'a "quoted", {x}', (repeat('[', 3000) || repeat(']', 3000))::json)""",
        """INSERT INTO accounts VALUES (2, NULL, '{"id": "other", "email": [1, {"id": 7}], "s": "}, \\"id\\":"}')""",
    )
    sync.mappings = [
        {"source": "name", "destination": "name"},
        {"source": "email", "destination": "e-mail", "key": True},
        {"source": "id", "destination": "id", "key": True},
        {"source": "email", "destination": "number", "cast": "integer"},
    ]
    result = await sync.run()
    assert (result.status, result.counts) == ("Succeeded", RunCounts(read=2, invalid=2))
    assert [letter.record_keys for letter in sorted(await letters(state), key=lambda x: x.record_keys["id"] or "")] == [
        {"e-mail": 'a "quoted", {x}', "id": "1"},
        {"e-mail": None, "id": "2"},
    ]


async def test_rows_that_would_be_written_to_the_same_record_are_not_sent(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore
) -> None:
    warehouse.run("INSERT INTO accounts VALUES (1, 'a@x', 'one'), (2, 'a@x', 'two'), (3, 'b@x', 'three')")
    sync.mappings = [
        {"source": "email", "destination": "Email", "key": True},
        {"source": "name", "destination": "name"},
    ]
    endpoint.key = "Email"
    result = await sync.run()
    assert (result.counts, result.dead_letters) == (RunCounts(read=3, created=1, invalid=2), 2)
    assert endpoint.records == {"b@x": {"Email": "b@x", "name": "three"}}
    assert [(letter.code, letter.record_keys, letter.attempts, letter.message) for letter in await letters(state)] == [
        (
            "DUPLICATE_KEY",
            {"Email": "a@x"},
            1,
            "the query returns other rows with the same key at the destination (Email)",
        )
    ] * 2
    warehouse.run("UPDATE accounts SET name = 'changed' WHERE id = 1")
    assert (await sync.run()).counts == RunCounts(read=3, unchanged=1, skipped=2)
    warehouse.run("DELETE FROM accounts WHERE id = 1")
    mended = await sync.run()
    assert mended.counts == RunCounts(read=2, unchanged=1, created=1)
    assert endpoint.records["a@x"]["name"] == "two"


async def test_a_cast_may_make_the_keys_of_two_rows_one(sync: Sync, warehouse: Warehouse, endpoint: Endpoint) -> None:
    warehouse.run("INSERT INTO accounts VALUES (1, '7', 'a'), (2, '07', 'b'), (3, '8', 'c'), (4, 'x', 'd')")
    sync.primary_key = ["email"]
    sync.mappings = [{"source": "email", "destination": "id", "key": True, "cast": "integer"}]
    result = await sync.run()
    assert result.counts == RunCounts(read=4, created=1, invalid=3)
    assert set(endpoint.records) == {"8"}


async def test_a_primary_key_that_is_wider_than_the_destination_key_is_no_licence_to_overwrite(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    warehouse.run("INSERT INTO accounts VALUES (1, 'a@x', 'a'), (1, 'b@x', 'b'), (2, 'a@x', 'c')")
    sync.primary_key = ["id", "email"]
    assert (await sync.run()).counts == RunCounts(read=3, created=1, invalid=2)
    sync.mappings.append({"source": "email", "destination": "email", "key": True})
    assert (await sync.run()).counts == RunCounts(read=3, created=3)


async def test_rows_that_were_never_sent_count_one_attempt_a_run_however_many_share_a_key(
    sync: Sync, warehouse: Warehouse, state: SqlStateStore
) -> None:
    warehouse.run(
        "INSERT INTO accounts VALUES (1, 'a', 'x'), (1, 'b', 'y'), (1, 'c', 'z'), (NULL, 'd', 'n'), (NULL, 'e', 'n')"
    )
    result = await sync.run()
    assert (result.counts, result.dead_letters) == (RunCounts(read=5, invalid=5), 2)
    found = {letter.code: letter for letter in await letters(state)}
    assert {code: letter.attempts for code, letter in found.items()} == {"DUPLICATE_KEY": 1, "NULL_KEY": 1}
    assert found["DUPLICATE_KEY"].message == "the query returns other rows with the same primary key (id)"
    await sync.run(full_refresh=True)
    assert {letter.attempts for letter in await letters(state)} == {2}


MANIFESTS = """
{{kind: SyncSource, apiVersion: reverseetl.io/v1alpha1, metadata: {{name: files}},
 spec: {{connector: duckdb, config: {{files: {{accounts: accounts.csv}}}}}}}}
---
{{kind: SyncDestination, apiVersion: reverseetl.io/v1alpha1, metadata: {{name: crm}},
 spec: {{connector: http, config: {{url: "http://127.0.0.1:9/"}}}}}}
---
{{kind: ReverseETLSync, apiVersion: reverseetl.io/v1alpha1, metadata: {{name: accounts}},
 spec: {{query: {{sourceRef: {{name: files}}, sql: "{sql}"}}, primaryKey: [id], object: o,
  destinationRef: {{name: crm}},
  mappings: [{{source: id, destination: id, key: true}}, {{source: {column}, destination: name}}]}}}}
"""


@pytest.mark.parametrize(
    ("sql", "column", "words"),
    [
        ("SELECT * FROM accounts", "nosuch", 'unknown column "nosuch"'),
        ("SELECT * FROM nosuch", "id", "nosuch does not exist"),
        ("SELECT id, CAST(name AS INT) AS name FROM accounts", "name", "Conversion Error"),
    ],
    ids=["mapping", "query", "data"],
)
def test_nothing_of_a_failed_run_outlives_it_even_if_no_garbage_is_collected(
    tmp_path: Path, sql: str, column: str, words: str
) -> None:
    (tmp_path / "accounts.csv").write_text("id,name\n1,one\n2,two\n")
    (tmp_path / "sync.yaml").write_text(MANIFESTS.format(sql=sql, column=column))
    program = "import gc; gc.disable(); import retl.cli; retl.cli.main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "run", "-f", "sync.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    said = " ".join(ended.stderr.split())
    assert words in said
    assert said.endswith("without sending anything"), "DuckDB lists on stderr what of it is left at the end"


async def test_a_key_that_is_nested_or_sensitive_is_named_in_the_dead_letter_as_it_may_be(
    sync: Sync, warehouse: Warehouse, state: SqlStateStore
) -> None:
    warehouse.run("INSERT INTO accounts VALUES (1, 'a@x', 'one')")
    sync.mappings = [
        {"source": "id", "destination": "refs[0].id", "key": True},
        {"source": "email", "destination": r"e\.mail", "key": True, "sensitive": True},
        {"expression": "CAST(name AS INTEGER)", "destination": "number"},
    ]
    assert (await sync.run()).counts == RunCounts(read=1, invalid=1)
    (letter,) = await letters(state)
    assert letter.record_keys == {"refs[0].id": "1", r"e\.mail": "‹redacted›"}
    assert letter.message == "mappings[2] (number): the expression cannot be computed for name = 'one'"
