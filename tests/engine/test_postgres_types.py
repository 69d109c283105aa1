"""Values on their way from PostgreSQL to PostgreSQL arrive as they were, or the row is refused with a reason."""

from datetime import timedelta
from pathlib import Path
from typing import Literal, LiteralString

import pyarrow as pa
import pytest

from retl.destinations.base import ACKNOWLEDGED, Batch, BatchRejected, Destination, Target
from retl.destinations.registry import DESTINATIONS
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


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
async def test_infinite_times_arrive_as_infinities(
    sync: Sync, warehouse: Warehouse, kind: Literal["timestamptz", "timestamp", "date"]
) -> None:
    warehouse.run(
        f"CREATE TABLE crm.accounts (id int PRIMARY KEY, v {kind}, w text, j jsonb)",
        f"CREATE TABLE accounts AS SELECT i AS id, '2024-01-02'::{kind} AS v FROM generate_series(1, 1000) i",
        "UPDATE accounts SET v = 'infinity' WHERE id = 2",
        "UPDATE accounts SET v = '-infinity' WHERE id = 500",
        "UPDATE accounts SET v = NULL WHERE id = 1000",
    )
    sync.mappings += [{"source": "v", "destination": name} for name in ("w", "j")]
    result = await sync.run()
    assert result.counts == RunCounts(read=1000, created=1000)
    assert warehouse.rows("SELECT id, v::text, w, j FROM crm.accounts WHERE id IN (2, 500, 1000) ORDER BY id") == [
        (2, "infinity", "infinity", "infinity"),
        (500, "-infinity", "-infinity", "-infinity"),
        (1000, None, None, None),
    ]
    assert warehouse.rows("SELECT count(*) FROM crm.accounts JOIN accounts USING (id, v)") == [(999,)]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "timestamptz[]"])
async def test_a_time_that_cannot_be_read_makes_its_row_invalid(
    sync: Sync, warehouse: Warehouse, state: SqlStateStore, kind: Literal["timestamptz", "timestamp", "timestamptz[]"]
) -> None:
    warehouse.run(
        f"CREATE TABLE crm.accounts (id int PRIMARY KEY, v {kind})",
        f"CREATE TABLE accounts (id int, v {kind}, w timestamp DEFAULT '294270-01-01')",
        "INSERT INTO accounts (id, v) SELECT i, ('" + ("{2024-01-02,infinity}" if "[" in kind else "infinity") + "')::"
        f"{kind} FROM generate_series(1, 50) i",
        "UPDATE accounts SET v = '" + ("{2024-01-02,294270-01-01}" if "[" in kind else "294270-01-01") + "' "
        "WHERE id IN (7, 50)",
        "UPDATE accounts SET v = NULL WHERE id = 8",
    )
    result = await sync.run()
    assert (result.message, result.counts) == ("", RunCounts(read=50, created=48, invalid=2))
    assert await letters(state) == [("50", "CAST_FAILED"), ("7", "CAST_FAILED")]
    found = await state.dead_letters(namespace="tests", sync="sync")
    assert {letter.message for letter in found} == {
        'mappings[1] (v): column "v" holds what cannot be read; select it as text'
    }
    assert warehouse.rows("SELECT count(*) FROM crm.accounts JOIN accounts USING (id, v)") == [(47,)]


async def test_a_value_that_the_driver_refuses_is_no_outage(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE accounts (id int PRIMARY KEY, v timestamp)")
    destination = DESTINATIONS.code("postgres")(
        DESTINATIONS.check("postgres", warehouse.config), DESTINATIONS.login("postgres", "login", warehouse.login)
    )
    assert isinstance(destination, Destination)
    await destination.open(
        Target(object="accounts", fields=("id", "v"), key=("id",), mode="upsert", timeout=timedelta(seconds=10))
    )
    earliest = pa.array([-(2**63) + 2, 0], pa.int64()).cast(pa.timestamp("us"))
    table = pa.table({"id": pa.array([1, 2], pa.int32()), "v": earliest})
    try:
        with pytest.raises(BatchRejected, match="out of its type's range") as refused:
            await destination.write(Batch(2, table=table))
        assert refused.value.code == "DESTINATION_VALIDATION"
        assert list(await destination.write(Batch(1, table=table.slice(1)))) == [ACKNOWLEDGED]
    finally:
        await destination.close()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int[]", "{1,NULL,3}"),
        ("text[]", '{"a,b",NULL,"{}"}'),
        ("numeric(6,2)[]", "{1.50,NULL}"),
        ("uuid[]", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}"),
        ("timestamptz[]", '{"2024-01-02 03:04:05.6+00",infinity,-infinity,NULL}'),
        ("timestamp[]", '{"2024-01-02 03:04:05.6",infinity,NULL}'),
        ("date[]", "{2024-01-02,NULL}"),
        ("inet[]", "{10.0.0.1,NULL}"),
        ("uuid[]", "{}"),
        ("jsonb[]", '{"{\\"a\\": [1.50, \\"x, }\\"]}",NULL,"[]","\\"s\\""}'),
        ("json[]", '{"{\\"a\\":1.50}",NULL}'),
        ("boolean[]", "{t,f,NULL}"),
        ("float8[]", "{1.5,NaN,Infinity,-Infinity,NULL}"),
        ("date[]", "{infinity,-infinity,0001-01-01,9999-12-31}"),
        ("bytea[]", '{"\\\\x00ff",NULL}'),
        ("time[]", "{23:59:59.999999,NULL}"),
        ("varchar(9)[]", '{"null","NULL",NULL,"[1]"}'),
    ],
)
async def test_an_array_arrives_as_it_was(
    sync: Sync, warehouse: Warehouse, kind: LiteralString, value: LiteralString
) -> None:
    warehouse.run(
        f"CREATE TABLE crm.accounts (id int PRIMARY KEY, v {kind})",
        f"CREATE TABLE accounts AS SELECT 1 AS id, '{value}'::{kind} AS v UNION ALL SELECT 2, NULL",
    )
    result = await sync.run()
    assert result.counts == RunCounts(read=2, created=2)
    assert warehouse.rows("SELECT id, v::text FROM crm.accounts ORDER BY id") == warehouse.rows(
        "SELECT id, v::text FROM accounts ORDER BY id"
    )


@pytest.mark.parametrize("kind", ["int[]", "text[]"])
async def test_an_array_of_two_dimensions_makes_its_row_invalid_and_is_not_flattened(
    sync: Sync, warehouse: Warehouse, state: SqlStateStore, kind: Literal["int[]", "text[]"]
) -> None:
    warehouse.run(
        f"CREATE TABLE crm.accounts (id int PRIMARY KEY, v {kind})",
        f"""CREATE TABLE accounts AS SELECT 1 AS id, '{{{{1,2}},{{3,4}}}}'::{kind} AS v, ARRAY[1] AS "it's" """,
        "INSERT INTO accounts VALUES (2, '{5}', '{{1}}'), (3, NULL, NULL), (4, '{}', '{}')",
    )
    result = await sync.run()
    assert (result.message, result.counts) == ("", RunCounts(read=4, created=3, invalid=1))
    assert await letters(state) == [("1", "CAST_FAILED")]
    assert warehouse.rows("SELECT id, v::text FROM crm.accounts ORDER BY 1") == [(2, "{5}"), (3, None), (4, "{}")]
    (source, _) = sync.connectors()
    assert source.columns(sync.spec().query).names == ["id", "v", "it's"]

    sync.query = {"sql": "SELECT id, v::text FROM accounts"}
    assert (await sync.run()).counts.created == 1
    assert warehouse.rows("SELECT v::text FROM crm.accounts WHERE id = 1") == [("{{1,2},{3,4}}",)]
