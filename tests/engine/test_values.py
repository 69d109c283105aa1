"""Values of every type arrive exactly, as JSON and in a table; casts do what they say."""

import base64
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from retl.engine.values import Value, cast, json_text, literal
from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Endpoint
from tests.engine.syncs import Sync, to_endpoint, to_table
from tests.engine.warehouse import Warehouse

# name, type, SQL value, as JSON (numbers with a point as their text), as Python reads it back from a table
TYPES: list[tuple[str, str, str, Any, Any]] = [
    ("small", "smallint", "-5", -5, -5),
    ("big", "bigint", "9223372036854775807", 9223372036854775807, 9223372036854775807),
    ("real", "real", "1.5", "1.5", 1.5),
    ("double", "double precision", "0.1", "0.1", 0.1),
    ("nan", "double precision", "'NaN'", "nan", None),
    ("numeric", "numeric", "12345678901234567890.1234567890", "12345678901234567890.1234567890", ...),
    ("money2", "numeric(12,2)", "-0.10", "-0.10", Decimal("-0.10")),
    ("number_nan", "numeric", "'NaN'", "nan", ...),
    ("yes", "boolean", "true", True, True),
    ("text", "text", "E'\" \\\\ \\n \\t é 漢 😀'", '" \\ \n \t é 漢 😀', '" \\ \n \t é 漢 😀'),
    ("char", "char(4)", "'ab'", "ab  ", "ab  "),
    ("day", "date", "'2024-02-29'", "2024-02-29", date(2024, 2, 29)),
    ("clock", "time", "'12:34:56.5'", "12:34:56.5", time(12, 34, 56, 500_000)),
    ("local", "timestamp", "'2024-02-29 12:00:00.123456'", "2024-02-29T12:00:00.123456", ...),
    ("moment", "timestamptz", "'2024-02-29 12:00+02'", "2024-02-29T10:00:00Z", datetime(2024, 2, 29, 10, tzinfo=UTC)),
    ("id4", "uuid", "'6f1ed002-ab5c-44a4-a4a5-27bd3aa2c1b7'", "6f1ed002-ab5c-44a4-a4a5-27bd3aa2c1b7", ...),
    ("raw", "bytea", "'\\x00ff10'", base64.b64encode(b"\x00\xff\x10").decode(), b"\x00\xff\x10"),
    ("doc", "jsonb", """'{"n": 12345678901234567890.5, "l": [1, null, "x"]}'""", ..., ...),
    ("ints", "int[]", "'{1,NULL,3}'", [1, None, 3], [1, None, 3]),
    ("texts", "text[]", """ARRAY['a"b', NULL]""", ['a"b', None], ['a"b', None]),
    ("numerics", "numeric[]", "'{1.50,2}'", ["1.50", 2], [Decimal("1.50"), Decimal(2)]),
    ("nothing", "text", "NULL", None, None),
    ("span", "interval", "'1 day 02:00:00'", "P1DT2H", ...),
    ("address", "inet", "'10.0.0.1/8'", "10.0.0.1/8", ...),
    ("range", "int4range", "'[1,5)'", "[1,5)", ...),
]  # fmt: skip


@pytest.fixture
def every_type(warehouse: Warehouse) -> list[str]:
    columns = ", ".join(f"{name} {kind}" for name, kind, *_ in TYPES)
    values = ", ".join(f"{sql}" for _, _, sql, *_ in TYPES)
    warehouse.run(
        f"CREATE TABLE accounts (id int, {columns})",
        f"INSERT INTO accounts VALUES (1, {values})",
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.accounts (LIKE accounts)",
        "ALTER TABLE crm.accounts ADD PRIMARY KEY (id)",
    )
    return ["id", *(name for name, *_ in TYPES)]


async def test_every_postgresql_type_arrives_as_exact_json(
    every_type: list[str], warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    sync = to_endpoint(warehouse, endpoint, state, tmp_path, *every_type)
    assert (await sync.run()).counts == RunCounts(read=1, created=1)
    expected = {name: value for name, _, _, value, _ in TYPES if value is not ...}
    expected["doc"] = {"n": "12345678901234567890.5", "l": [1, None, "x"]}
    record = endpoint.records["1"]
    assert {name: record[name] for name in expected} == expected
    assert (await sync.run()).counts == RunCounts(read=1, unchanged=1)


async def test_infinite_times_are_words(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE TABLE accounts (id int, since timestamptz, until timestamp, day date)",
        "INSERT INTO accounts VALUES (1, '-infinity', 'infinity', 'infinity'), (2, '2024-01-01Z', NULL, '-infinity')",
    )
    result = await to_endpoint(warehouse, endpoint, state, tmp_path, "id", "since", "until", "day").run()
    assert result.message == ""
    assert endpoint.records == {
        "1": {"id": 1, "since": "-infinity", "until": "infinity", "day": "infinity"},
        "2": {"id": 2, "since": "2024-01-01T00:00:00Z", "until": None, "day": "-infinity"},
    }


async def test_every_postgresql_type_arrives_unchanged_in_a_table(
    every_type: list[str], warehouse: Warehouse, state: SqlStateStore, tmp_path: Path
) -> None:
    sync = to_table(warehouse, state, tmp_path, *every_type)
    result = await sync.run()
    assert (result.message, result.counts) == ("", RunCounts(read=1, created=1))
    assert warehouse.rows("SELECT a::text FROM crm.accounts a") == warehouse.rows("SELECT a::text FROM accounts a")
    names = ", ".join(f'"{name}"' for name, *_ in TYPES)
    ((*values,),) = warehouse.rows(f"SELECT {names} FROM crm.accounts")
    for (name, _, _, _, expected), value in zip(TYPES, values, strict=True):
        if expected is not ... and expected is not None:
            assert value == expected, name


async def test_every_duckdb_type_arrives_as_exact_json(
    endpoint: Endpoint, state: SqlStateStore, warehouse: Warehouse, tmp_path: Path
) -> None:
    with duckdb.connect(str(tmp_path / "w.duckdb")) as database:
        database.execute(
            """CREATE TABLE accounts AS SELECT 1 AS id, true AS yes, 1.10::DECIMAL(18,2) AS price,
            170141183460469231731687303715884105727::HUGEINT AS huge, 18446744073709551615::UBIGINT AS ubig,
            {'a': 1.50::DECIMAL(5,2), 'at': TIMESTAMP '2024-01-01 10:00:00'} AS struct, MAP {'k': [1, 2]} AS map,
            '{"x": 1.50}'::JSON AS doc, 'red'::ENUM ('red', 'green') AS color, 'inf'::FLOAT AS infinite,
            '\\xAA'::BLOB AS raw, [[1], NULL] AS nested, UUID '6f1ed002-ab5c-44a4-a4a5-27bd3aa2c1b7' AS u,
            TIMESTAMPTZ '2024-01-01 10:00:00+01' AS moment"""
        )
        fields = [name for name, *_ in database.execute("DESCRIBE accounts").fetchall()]
    sync = to_endpoint(warehouse, endpoint, state, tmp_path, *fields)
    sync.source_name, sync.source = "duckdb", {"path": str(tmp_path / "w.duckdb")}
    result = await sync.run()
    assert (result.message, result.counts) == ("", RunCounts(read=1, created=1))
    assert endpoint.records["1"] == {
        "id": 1,
        "yes": True,
        "huge": 170141183460469231731687303715884105727,
        "price": "1.10",
        "struct": {"a": "1.50", "at": "2024-01-01T10:00:00"},
        "map": {"k": [1, 2]},
        "doc": {"x": "1.50"},
        "color": "red",
        "infinite": "inf",
        "raw": "qg==",
        "nested": [[1], None],
        "u": "6f1ed002-ab5c-44a4-a4a5-27bd3aa2c1b7",
        "moment": "2024-01-01T09:00:00Z",
        "ubig": 18446744073709551615,
    }


async def test_parquet_and_csv_files_are_a_source(
    endpoint: Endpoint, state: SqlStateStore, warehouse: Warehouse, tmp_path: Path
) -> None:
    duckdb.sql(f"COPY (SELECT range AS id FROM range(10)) TO '{tmp_path}/ids.parquet'")
    (tmp_path / "names.csv").write_text("id,name\n1,Ada\n2,Bob\n")
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.source_name = "duckdb"
    sync.source = {"files": {"ids": f"{tmp_path}/*.parquet", "names": f"{tmp_path}/names.csv"}}
    sync.query = {"sql": "SELECT * FROM ids JOIN names USING (id);"}
    assert (await sync.run()).counts == RunCounts(read=2, created=2)
    assert endpoint.records["2"] == {"id": 2, "name": "Bob"}


@pytest.mark.parametrize(
    ("text", "to", "json"),
    [
        ("7", "integer", "7"),
        (" -7 ", "integer", "-7"),
        ("7.0", "integer", "7"),
        ("7.5", "integer", None),
        ("9223372036854775808", "integer", None),
        ("seven", "integer", None),
        ("", "integer", None),
        ("12345678901234567890.10", "number", "12345678901234567890.10"),
        ("+007.5", "number", "7.5"),
        ("-.5", "number", "-0.5"),
        ("5.", "number", "5"),
        ("0", "number", "0"),
        ("-00.50", "number", "-0.50"),
        ("1e5", "number", "1e5"),
        ("5.e3", "number", "5e3"),
        ("NaN", "number", None),
        ("1,5", "number", None),
        ("true", "boolean", "true"),
        ("No", "boolean", "false"),
        ("maybe", "boolean", None),
        ("2024-02-29", "date", '"2024-02-29"'),
        ("2024-02-30", "date", None),
        ("2024-02-29T12:00:00+02:00", "timestamp", '"2024-02-29T10:00:00Z"'),
        ("2024-02-29 12:00:00", "timestamp", '"2024-02-29T12:00:00Z"'),
        ("noon", "timestamp", None),
        ('{"a": 1.50}', "json", '{"a": 1.50}'),
        ("{a}", "json", None),
        ("it's", "string", '"it\'s"'),
    ],
)
def test_casting_text(text: str, to: Any, json: str | None) -> None:
    made = cast(Value(pa.string(), literal(text)), to)
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        sql = json_text(Value(made.type, "m"))
        assert database.execute(f"SELECT {sql} FROM (SELECT {made.sql} AS m)").fetchall() == [(json,)]


@pytest.mark.parametrize(
    ("value", "to", "json"),
    [
        (Value(pa.float64(), "7.5::DOUBLE"), "integer", None),
        (Value(pa.float64(), "7.0::DOUBLE"), "integer", "7"),
        (Value(pa.float64(), "'NaN'::DOUBLE"), "number", None),
        (Value(pa.decimal128(5, 2), "1.50::DECIMAL(5,2)"), "number", "1.50"),
        (Value(pa.decimal128(5, 2), "1.50::DECIMAL(5,2)"), "string", '"1.50"'),
        (Value(pa.bool_(), "true"), "integer", "1"),
        (Value(pa.int64(), "0"), "boolean", "false"),
        (Value(pa.int64(), "2"), "boolean", None),
        (Value(pa.timestamp("us"), "TIMESTAMP '2024-01-01 10:00:00'"), "date", '"2024-01-01"'),
        (Value(pa.date32(), "DATE '2024-01-01'"), "timestamp", '"2024-01-01T00:00:00"'),
        (Value(pa.list_(pa.int64()), "[1, NULL]"), "string", '"[1,null]"'),
        (Value(pa.list_(pa.int64()), "[1, NULL]"), "json", "[1,null]"),
        (Value(pa.binary(), "'\\xAA'::BLOB"), "string", '"qg=="'),
    ],
)
def test_casting_other_types(value: Value, to: Any, json: str | None) -> None:
    made = cast(value, to)
    with duckdb.connect() as database:
        sql = json_text(Value(made.type, "m"))
        assert database.execute(f"SELECT {sql} FROM (SELECT {made.sql} AS m)").fetchall() == [(json,)]


async def test_columns_whose_names_differ_in_case_only_do_not_collide(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run('CREATE TABLE accounts (id int, "Name" text, name text)', "INSERT INTO accounts VALUES (1, 'A', 'b')")
    sync = to_endpoint(warehouse, endpoint, state, tmp_path, "id", "name", "Name")
    await sync.run()
    assert endpoint.records["1"] == {"id": 1, "name": "b", "Name": "A"}


async def test_keys_of_several_columns_are_told_apart(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE TABLE accounts (id int, a text, b text)",
        """INSERT INTO accounts VALUES (1, 'x","y', 'z'), (2, 'x', 'y","z'), (3, 'x', 'y'), (4, 'xy', '')""",
    )
    sync: Sync = to_endpoint(warehouse, endpoint, state, tmp_path, "id")
    sync.primary_key = ["a", "b"]
    assert (await sync.run()).counts == RunCounts(read=4, created=4)
