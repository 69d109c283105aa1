"""Values on their way from PostgreSQL to PostgreSQL arrive as they were, or the row is refused with a reason."""

from pathlib import Path

import pytest

from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from tests.engine.syncs import Sync, to_table
from tests.engine.warehouse import Warehouse


async def letters(state: SqlStateStore) -> list[tuple[str, str]]:
    """Key and code of each dead letter."""
    found = await state.dead_letters(namespace="tests", sync="sync")
    return sorted((str(letter.record_keys["id"]), letter.code) for letter in found)


@pytest.fixture
def sync(warehouse: Warehouse, state: SqlStateStore, tmp_path: Path) -> Sync:
    """A sync of id and v, whose tables the test creates."""
    warehouse.run("CREATE SCHEMA crm")
    return to_table(warehouse, state, tmp_path, "id", "v")


async def test_what_is_too_long_for_its_column_is_refused_and_not_cut(
    sync: Sync, warehouse: Warehouse, state: SqlStateStore
) -> None:
    warehouse.run(
        "CREATE DOMAIN crm.short AS varchar(2)",
        "CREATE TABLE crm.accounts "
        "(id int PRIMARY KEY, v varchar(5), c char(3), b bit(4), w varbit(4), n numeric(4, 1), d crm.short)",
        "CREATE TABLE accounts (id int, v text, c text, b text, w text, n numeric, d text)",
        "INSERT INTO accounts VALUES (1, 'abcde', 'xy', '1010', '101', 999.94, 'ab')",
        "INSERT INTO accounts (id, v) VALUES (2, 'abcdef'), (8, 'é😀cde')",
        "INSERT INTO accounts (id, c) VALUES (3, 'wxyz')",
        "INSERT INTO accounts (id, b) VALUES (4, '101011')",
        "INSERT INTO accounts (id, w) VALUES (5, '10101')",
        "INSERT INTO accounts (id, n) VALUES (6, 9999)",
        "INSERT INTO accounts (id, d) VALUES (7, 'abc')",
    )
    sync.mappings = [{"source": f, "destination": f, "key": f == "id"} for f in ("id", "v", "c", "b", "w", "n", "d")]
    result = await sync.run()
    assert result.counts == RunCounts(read=8, created=2, rejected=6)
    assert await letters(state) == [(str(i), "DESTINATION_VALIDATION") for i in range(2, 8)]
    assert warehouse.rows("SELECT id, v, c, b::text, w::text, n::text, d::text FROM crm.accounts ORDER BY id") == [
        (1, "abcde", "xy ", "1010", "101", "999.9", "ab"),
        (8, "é😀cde", None, None, None, None, None),
    ]


async def test_a_number_too_long_for_bits_is_refused(sync: Sync, warehouse: Warehouse, state: SqlStateStore) -> None:
    warehouse.run(
        "CREATE TABLE crm.accounts (id int PRIMARY KEY, v bit(1))",
        "CREATE TABLE accounts AS SELECT i AS id, i AS v FROM generate_series(1, 3) i",
    )
    result = await sync.run()
    assert result.counts == RunCounts(read=3, created=1, rejected=2)
    assert await letters(state) == [("2", "DESTINATION_VALIDATION"), ("3", "DESTINATION_VALIDATION")]


@pytest.mark.parametrize(
    "end",
    [
        "-- only what sells",
        ";",
        "; ;\n",
        "; -- only what sells; and more",
        ";\n/* only\nwhat; sells */\n",
        "/* a */ --;",
    ],
)
@pytest.mark.parametrize("value", ["'a;--b'", "E'a\\';--b'", "$x$;'--$x$", "note$a.x || network('10.0.0.1/8') /* ; */"])
async def test_a_query_may_end_with_comments_and_semicolons(
    sync: Sync, warehouse: Warehouse, value: str, end: str
) -> None:
    warehouse.run("CREATE TABLE crm.accounts (id int PRIMARY KEY, v text)")
    sync.query = {"sql": f"SELECT 1 AS id, {value} AS v FROM (SELECT '' AS x) AS note$a\n{end}"}
    result = await sync.run()
    assert (result.message, result.counts) == ("", RunCounts(read=1, created=1))
    (source, _) = sync.connectors()
    assert source.columns(sync.spec().query).names == ["id", "v"]


async def test_a_second_statement_is_refused(sync: Sync, warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE crm.accounts (id int PRIMARY KEY, v text)")
    sync.query = {"sql": "SELECT 1 AS id, 'a' AS v; SELECT 2 -- the end"}
    result = await sync.run()
    assert result.status == "Failed"
    assert "syntax error" in result.message or "multiple commands" in result.message
