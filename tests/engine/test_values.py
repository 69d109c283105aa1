"""Values of every type arrive exactly, as JSON and in a table; casts do what they say."""

import base64
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from retl.engine.values import Value, cast, json_text, literal
from retl.errors import InvalidInput
from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Endpoint
from tests.engine.syncs import Sync, to_endpoint, to_table
from tests.engine.warehouse import Warehouse
from tests.unit.engine.mapped import mapped, spec

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
    ("first_day", "date", "'0001-01-01'", "0001-01-01", date(1, 1, 1)),
    ("last_moment", "timestamp", "'9999-12-31 23:59:59.999999'", "9999-12-31T23:59:59.999999", ...),
    ("ides", "date", "'0044-03-15 BC'", "0044-03-15 (BC)", None),
    ("ides_noon", "timestamptz", "'0044-03-15 12:00Z BC'", "0044-03-15 (BC) 12:00:00Z", None),
    ("far_day", "date", "'12024-02-29'", "12024-02-29", None),
    ("digits38", "numeric(38,10)", "-1234567890123456789012345678.0123456789",
     "-1234567890123456789012345678.0123456789", ...),
    ("infinite", "double precision", "'-Infinity'", "-inf", float("-inf")),
    ("family", "text", "'👩‍👩‍👧‍👦 🇦🇹'", "👩‍👩‍👧‍👦 🇦🇹", "👩‍👩‍👧‍👦 🇦🇹"),
    ("megabyte", "text", "repeat('é', 500000)", "é" * 500_000, "é" * 500_000),
    ("half", "json", """'"\\ud800"'""", "\ud800", ...),
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
    known = {name: value for name, *_, value in TYPES if value is not ... and value is not None}
    names = ", ".join(f'"{name}"' for name in known)
    ((*values,),) = warehouse.rows(f"SELECT {names} FROM crm.accounts")
    assert dict(zip(known, values, strict=True)) == known


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


# SQL value of DuckDB, as JSON text
EXACT: list[tuple[str, str]] = [
    ("'NaN'::DOUBLE", '"nan"'),
    ("'inf'::FLOAT", '"inf"'),
    ("'-inf'::DOUBLE", '"-inf"'),
    ("-0.0::DOUBLE", "-0.0"),
    ("5e-324::DOUBLE", "5e-324"),
    ("1.7976931348623157e308::DOUBLE", "1.7976931348623157e+308"),
    ("0.1::FLOAT", "0.1"),
    ("99999999999999999999999999999999999999::DECIMAL(38,0)", "9" * 38),
    ("-0.00000000000000000000000000000000000001::DECIMAL(38,38)", f"-0.{'0' * 37}1"),
    ("[0.5::DECIMAL(2,2)]", "[0.50]"),
    ("(-128)::TINYINT", "-128"),
    ("18446744073709551615::UBIGINT", "18446744073709551615"),
    ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
    ("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"),
    ("'12345678901234567890123456789012345678901234567890'::BIGNUM", "1234567890" * 5),
    ("DATE '0001-01-01'", '"0001-01-01"'),
    ("DATE '9999-12-31'", '"9999-12-31"'),
    ("DATE '10000-01-01'", '"10000-01-01"'),
    ("DATE '0044-03-15 (BC)'", '"0044-03-15 (BC)"'),
    ("TIMESTAMP '0044-03-15 (BC) 12:00:00'", '"0044-03-15 (BC) 12:00:00"'),
    ("'infinity'::DATE", '"infinity"'),
    ("'-infinity'::TIMESTAMP", '"-infinity"'),
    ("'infinity'::TIMESTAMPTZ", '"infinity"'),
    ("TIMESTAMP '9999-12-31 23:59:59.999999'", '"9999-12-31T23:59:59.999999"'),
    ("TIMESTAMPTZ '2024-02-29 12:00:00+05:30'", '"2024-02-29T06:30:00Z"'),
    ("TIMESTAMPTZ '2024-03-31 02:30:00 Europe/Vienna'", '"2024-03-31T01:30:00Z"'),
    ("TIMESTAMP_NS '2024-02-29 12:00:00.123456789'", '"2024-02-29T12:00:00.123456789"'),
    ("TIMESTAMP_MS '2024-02-29 12:00:00.5'", '"2024-02-29T12:00:00.5"'),
    ("TIMESTAMP_S '2024-02-29 12:00:00'", '"2024-02-29T12:00:00"'),
    ("TIME '23:59:59.999999'", '"23:59:59.999999"'),
    ("TIME_NS '12:00:00.123456789'", '"12:00:00.123456789"'),
    ("TIMETZ '12:00:00+02'", '"12:00:00+02"'),
    ("INTERVAL '1 year 2 days 03:04:05.678'", '"1 year 2 days 03:04:05.678"'),
    ("'👩‍👩‍👧‍👦 🇦🇹'", '"👩‍👩‍👧‍👦 🇦🇹"'),
    ("'a' || chr(0) || 'b' || chr(31) || chr(127)", '"a\\u0000b\\u001F\x7f"'),
    ("''", '""'),
    ("repeat('x', 1048576)", '"' + "x" * 1_048_576 + '"'),
    ("'red'::ENUM('red', 'green')", '"red"'),
    ("UUID '6f1ed002-ab5c-44a4-a4a5-27bd3aa2c1b7'", '"6f1ed002-ab5c-44a4-a4a5-27bd3aa2c1b7"'),
    ("'0101'::BIT", '"0101"'),
    ("''::BLOB", '""'),
    ("'\\x00\\xFF'::BLOB", '"AP8="'),
    ("['\\x00'::BLOB]", '["AA=="]'),
    ("'[1, [2,{\"a\":null}]]'::JSON", '[1, [2,{"a":null}]]'),
    ("[[1, 2], NULL, [NULL]]", "[[1,2],null,[null]]"),
    ("[[[1]]]::INT[][][]", "[[[1]]]"),
    ("array_value(1, 2, 3)", "[1,2,3]"),
    ("[]::INT[]", "[]"),
    ("['NaN'::DOUBLE]", '["nan"]'),
    ("[TIMESTAMPTZ '2024-01-01 00:00:00Z', 'infinity'::TIMESTAMPTZ]", '["2024-01-01T00:00:00Z","infinity"]'),
    ("[170141183460469231731687303715884105727::HUGEINT]", "[170141183460469231731687303715884105727]"),
    ("MAP {'a b': 1, 'q\"': NULL}", '{"a b":1,"q\\"":null}'),
    ("MAP {1: [{'x': 'y'}]}", '{"1":[{"x":"y"}]}'),
    ("{'a': {'b': [1, NULL]}, 'c d': 'NaN'::DOUBLE}", '{"a":{"b":[1,null]},"c d":"nan"}'),
    ("union_value(k := 1)", '"1"'),
    ("NULL", "null"),
    ("NULL::STRUCT(a INT)", "null"),
]


@pytest.mark.parametrize("payload", ["json", "arrow"])
@pytest.mark.parametrize(("sql", "text"), EXACT, ids=[sql[:40] for sql, _ in EXACT])
def test_every_value_is_exact_json_whatever_it_was_staged_as(sql: str, text: str, payload: Any) -> None:
    run = spec([{"source": "id", "destination": "id", "key": True}, {"source": "v", "destination": "v"}])
    (record,) = mapped(f"SELECT 1 AS id, {sql} AS v", run, payload).payloads
    assert record == f'{{"id":1,"v":{text}}}'
    json.loads(record)


def test_a_variant_has_no_one_form_and_is_refused() -> None:
    with pytest.raises(InvalidInput, match='column "v" is a VARIANT'):
        mapped("SELECT 1 AS id, 1::VARIANT AS v", spec([{"source": "v", "destination": "v", "key": True}]))


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
    ("text", "to", "made_json"),
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
def test_casting_text(text: str, to: Any, made_json: str | None) -> None:
    made = cast(Value(pa.string(), literal(text)), to)
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        sql = json_text(Value(made.type, "m"))
        assert database.execute(f"SELECT {sql} FROM (SELECT {made.sql} AS m)").fetchall() == [(made_json,)]


@pytest.mark.parametrize(
    ("value", "to", "made_json"),
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
def test_casting_other_types(value: Value, to: Any, made_json: str | None) -> None:
    made = cast(value, to)
    with duckdb.connect() as database:
        sql = json_text(Value(made.type, "m"))
        assert database.execute(f"SELECT {sql} FROM (SELECT {made.sql} AS m)").fetchall() == [(made_json,)]


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
