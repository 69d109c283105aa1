"""What the DuckDB destination does to a table in each operation, and what it says of each record."""

import asyncio
import datetime as dt
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from retl.destinations.base import (
    Batch,
    FieldInfo,
    Rejected,
    TryLater,
)
from retl.destinations.registry import DESTINATIONS
from retl.destinations.tables.destination import TableDestination
from retl.errors import DestinationError, DestinationUnavailable, InvalidInput
from tests.destinations.duckdb.file import File
from tests.destinations.tables.writing import (
    KEYLESS,
    NEW,
    OK,
    TABLE,
    TYPED,
    accounts,
    expect_each_told,
    fields_made,
    made,
    opened,
    written,
)


async def test_an_index_of_the_key_alone_is_a_unique_key(file: File) -> None:
    file.run(KEYLESS, "CREATE UNIQUE INDEX two ON accounts (id, name)")
    with pytest.raises(DestinationError, match=r"no unique constraint on \(id\)"):
        await opened(file, "mirror")
    file.run("CREATE UNIQUE INDEX one ON accounts (id)")
    for _ in range(2):
        assert await written(file, "upsert", NEW) == [OK] * 3
    assert len(accounts(file)) == 3


BAD = (
    ("i", "secret", "Could not convert string '…' to INT32"),
    ("t", "5000", "Could not convert string '…' to INT8"),
    ("e", "secret", "'…'"),
    ("d", "2024-13-13", "timestamp field"),
    ("n", None, "NOT NULL constraint failed: accounts.n"),
    ("p", "-1", 'CHECK constraint failed on table "accounts"'),
    ("j", "{secret", "Malformed JSON"),
    ("f", "70001", "Violates foreign key constraint"),
    ("m", "99999.9", 'Could not convert string "…" to DECIMAL'),
)


@pytest.mark.parametrize("operation", ["upsert", "append"])
async def test_each_bad_value_is_told_and_every_other_record_written(file: File, operation: str) -> None:
    file.run(
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE accounts (id int PRIMARY KEY, i int, t tinyint, e enum('a', 'b'), d timestamp, "
        "n int NOT NULL DEFAULT 0, p int CHECK (p > 0), j json, f int REFERENCES parents (id), m decimal(4, 2))",
    )
    await expect_each_told(file, operation, BAD)


@pytest.mark.parametrize("kind", ["int", "date", "json", "uuid", "int[]", "decimal(4, 2)", "enum('a')", "interval"])
@pytest.mark.parametrize("value", ["hush\nhush\" 'hush", "\"hush'\n\nLINE 1: hush", "constraint failed hush"])
async def test_a_value_of_several_lines_and_quotes_is_in_no_message(file: File, kind: str, value: str) -> None:
    file.run(f"CREATE TABLE accounts (id varchar PRIMARY KEY, v {kind})")
    [refused] = await written(file, "upsert", {"id": ["1"], "v": [value]}, fields=("id", "v"))
    assert isinstance(refused, Rejected)
    assert "hush" not in refused.message
    doubled = await written(file, "upsert", {"id": [value, value], "v": [None, None]}, fields=("id", "v"))
    assert "hush" not in str(doubled)


async def test_values_arrive_as_they_are(file: File) -> None:
    file.run(
        "CREATE TABLE accounts (id bigint PRIMARY KEY, t text, n decimal(38, 20), b blob, bt blob, d date, c time, "
        "z timestamptz, zi timestamp, f double, y boolean, l int[], s struct(a int, b text[]), j json, u uuid, "
        "h hugeint)"
    )
    moment = dt.datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)
    columns = {
        "id": pa.array([2**62, 2], pa.int64()),
        "t": pa.array(['it\'s \\ "q" 😀', ""]),
        "n": pa.array([Decimal("0.00000000000000000001"), None], pa.decimal128(38, 20)),
        "b": pa.array([bytes(range(256)), b""], pa.binary()),
        "bt": pa.array(["\\x41 ä", None]),
        "d": pa.array([dt.date(2024, 2, 29), None]),
        "c": pa.array([dt.time(1, 2, 3, 4), None], pa.time64("us")),
        "z": pa.array([moment, None], pa.timestamp("us", "UTC")),
        "zi": pa.array([2**63 - 1, -(2**63 - 1)], pa.int64()).cast(pa.timestamp("us")),
        "f": pa.array([float("inf"), 1e300]),
        "y": pa.array([True, False]),
        "l": pa.array([[1, None], []], pa.list_(pa.int32())),
        "s": pa.array(['{"a": 1, "b": ["x", null]}', "{'a': 2, 'b': []}"]),
        "j": pa.array(["[1, 2.50]", None]),
        "u": pa.array(["6ba7b810-9dad-11d1-80b4-00c04fd430c8", None]),
        "h": pa.array(["170141183460469231731687303715884105727", None]),
    }
    for _ in range(2):  # inserted, and then changed
        assert await written(file, "upsert", columns, fields=tuple(columns)) == [OK, OK]
    shown = ", ".join(f"CAST({name} AS text)" if name in ("z", "zi", "u", "h") else name for name in columns)
    assert file.rows(f"SELECT {shown} FROM accounts ORDER BY id DESC") == [
        (
            2**62, "it's \\ \"q\" 😀", Decimal("0.00000000000000000001"), bytes(range(256)), "\\x41 ä".encode(),
            dt.date(2024, 2, 29), dt.time(1, 2, 3, 4), "2024-01-02 03:04:05.000678+00", "infinity", float("inf"), True,
            [1, None], {"a": 1, "b": ["x", None]}, "[1, 2.50]", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", str(2**127 - 1),
        ),
        (2, "", None, b"", None, None, None, None, "-infinity", 1e300, False, [], {"a": 2, "b": []}, None, None, None),
    ]  # fmt: skip


async def test_a_mirror_deletes_by_keys_that_come_as_text(file: File) -> None:
    file.run(
        "CREATE TABLE accounts (i hugeint, z timestamptz, d date, n decimal(9, 2), b blob, x boolean, "
        "PRIMARY KEY (i, z, d, n, b, x))",
        "INSERT INTO accounts VALUES (18446744073709551616, 'infinity', '2024-01-02', 1.50, '\\xff\\x00', true), "
        "(2, '2024-01-02 03:04:05Z', '-infinity', 0, '', false), "
        "(18446744073709551617, 'infinity', '2024-01-02', 1.50, '\\xff\\x00', true)",
    )
    keys = {
        "i": ["18446744073709551616", "2", "9"],
        "z": ["infinity", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"],
        "d": ["2024-01-02", "-infinity", "2024-01-02"],
        "n": ["1.5", "0.00", "0"],
        "b": ["/wA=", "", ""],
        "x": ["true", "false", "true"],
    }
    outcomes = await written(file, "delete", keys, mode="mirror", key=tuple(keys), fields=tuple(keys))
    assert outcomes == [OK] * 3
    assert file.rows("SELECT i FROM accounts") == [(18446744073709551617,)]


async def test_fields_say_what_can_be_written(file: File) -> None:
    file.run(
        "CREATE TABLE accounts (key int UNIQUE NOT NULL, seats int NOT NULL DEFAULT 1, "
        "twice int GENERATED ALWAYS AS (seats * 2), price decimal(9, 2))"
    )
    connector = await opened(file, "upsert", key=("key",), fields=("key", "price"))
    assert await connector.fields() == [
        FieldInfo("key", "INTEGER", required=True),
        FieldInfo("seats", "INTEGER"),
        FieldInfo("twice", "INTEGER", read_only=True),
        FieldInfo("price", "DECIMAL(9,2)"),
    ]
    await connector.close()
    with pytest.raises(DestinationError, match="table 'accounts' fills twice by itself; take it out of the mappings"):
        await opened(file, "upsert", key=("key",), fields=("key", "twice"))


async def test_a_table_is_made_of_the_types_of_its_first_records(file: File) -> None:
    connector = await opened(file, "mirror", config={"createTable": True}, fields=("id", *TYPED))
    keys = Batch(1, table=pa.table({"id": ["Ab"]}), operation="delete")
    records = pa.table({"id": pa.array(["ab", "Ab"]), **TYPED})
    assert await fields_made(connector, keys, records) == [
        ("id", "VARCHAR", True),
        ("d", "DATE", False),
        ("t", "TIMESTAMP WITH TIME ZONE", False),
        ("n", "DECIMAL(9,2)", False),
        ("l", "INTEGER[]", False),
        ("b", "BLOB", False),
    ]
    assert await connector.write(keys) == [OK]
    await connector.close()
    assert file.rows("SELECT id, n, l, b FROM accounts") == [("ab", Decimal("1.50"), [1, None], b"\xff")]


async def test_a_file_that_another_process_writes_is_tried_again_later(file: File) -> None:
    file.run(TABLE)
    holder = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", holder, file.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"held\n"
    with pytest.raises(DestinationUnavailable, match="lock on file"):
        await opened(file)
    await other.communicate(b"")
    await (await opened(file)).close()


async def test_a_call_that_takes_too_long_is_broken_off(file: File) -> None:
    file.run(TABLE)
    connector = await opened(file)
    assert isinstance(connector, TableDestination)
    connector.log_in(timedelta(milliseconds=1))
    many = pa.table({"id": range(400_000), "name": ["x"] * 400_000, "plan": ["y"] * 400_000})
    with pytest.raises(TryLater, match=r"(?i)interrupt") as raised:
        await connector.write(Batch(many.num_rows, table=many))
    assert raised.value.code == "DESTINATION_UNAVAILABLE"
    await connector.close()
    assert accounts(file) == []


@pytest.mark.parametrize("path", [":memory:", "md:crm", "s3://bucket/crm.duckdb"])
def test_only_files_are_written(path: str) -> None:
    with pytest.raises(InvalidInput, match=r"config.path: is a file's path"):
        DESTINATIONS.check("duckdb", {"path": path})


async def test_what_cannot_be_opened_is_said_with_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("no database at all, but some text that is long enough" * 100)
    with pytest.raises(DestinationError, match=r"text.duckdb.* not a valid DuckDB database"):
        await opened(File(tmp_path / "text.duckdb"))
    with pytest.raises(DestinationError, match=r"nowhere/crm.duckdb"):
        await opened(File(tmp_path / "nowhere" / "crm.duckdb"))


async def test_the_file_says_what_it_has(file: File) -> None:
    file.run(TABLE, "CREATE SCHEMA s", "CREATE TABLE s.t (a int)", "CREATE VIEW v AS SELECT 1 AS x")
    connector = made(file)
    assert await connector.server() == f"DuckDB {duckdb.__version__}"
    found = {each.name: [(f.name, f.type, f.required) for f in each.fields] for each in await connector.objects() or ()}
    assert found == {
        "accounts": [("id", "INTEGER", True), ("name", "VARCHAR", False), ("plan", "VARCHAR", False)],
        "s.t": [("a", "INTEGER", False)],
    }
    assert [f.name for f in await connector.describe("s.t", "append") or ()] == ["a"]
    with pytest.raises(DestinationError, match="there is no table 'v'; create it or correct object"):
        await connector.describe("v", "upsert")
    await connector.close()
