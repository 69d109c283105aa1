"""What the DuckDB destination does to a table in each operation, and what it says of each record."""

import asyncio
import datetime as dt
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    Destination,
    FieldInfo,
    LookupRequest,
    Outcome,
    Rejected,
    Skipped,
    Target,
    TryLater,
)
from retl.destinations.registry import DESTINATIONS
from retl.destinations.tables.destination import TableDestination
from retl.errors import DestinationError, DestinationUnavailable, InvalidInput

OK = ACKNOWLEDGED
EXISTS = Skipped("the record exists")
NONE = Skipped("there is no such record")
TABLE = "CREATE TABLE accounts (id int PRIMARY KEY, name text, plan text)"
ROWS = "INSERT INTO accounts VALUES (1, 'old', 'free'), (2, 'old', NULL), (3, 'old', '')"
NEW = {"id": [1, 2, 4], "name": ["new"] * 3, "plan": ["paid"] * 3}


class File:
    """A database file, as what a test itself looks into."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.path) as connection:
            return connection.execute(sql).fetchall()

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.rows(statement)


@pytest.fixture
def crm(tmp_path: Path) -> File:
    return File(tmp_path / "crm.duckdb")


def made(crm: File, config: Mapping[str, Any] | None = None) -> Destination:
    connector = DESTINATIONS.code("duckdb")(DESTINATIONS.check("duckdb", {"path": crm.path, **(config or {})}), None)
    assert isinstance(connector, Destination)
    return connector


async def opened(
    crm: File, mode: str = "upsert", *, config: Mapping[str, Any] | None = None, **target: Any
) -> Destination:
    connector = made(crm, config)
    settings: dict[str, Any] = {
        "object": "accounts",
        "key": ("id",),
        "fields": ("id", "name", "plan"),
        "timeout": timedelta(seconds=9),
    }
    try:
        await connector.open(Target(mode=mode, **(settings | target)))
    except DestinationError:
        await connector.close()
        raise
    return connector


async def written(
    crm: File, operation: str, columns: dict[str, Any], *, mode: str = "", **target: Any
) -> list[Outcome]:
    """Outcomes of one batch."""
    connector = await opened(crm, mode or operation, **target)
    table = pa.table(columns)
    try:
        return list(await connector.write(Batch(table.num_rows, table=table, operation=operation)))
    finally:
        await connector.close()


def accounts(crm: File) -> list[tuple[Any, ...]]:
    return crm.rows("SELECT * FROM accounts ORDER BY 1, 2")


@pytest.mark.parametrize(
    ("operation", "outcomes", "content"),
    [
        ("upsert", [OK, OK, OK], [(1, "new", "paid"), (2, "new", "paid"), (3, "old", ""), (4, "new", "paid")]),
        ("insert", [EXISTS, EXISTS, OK], [(1, "old", "free"), (2, "old", None), (3, "old", ""), (4, "new", "paid")]),
        ("update", [OK, OK, NONE], [(1, "new", "paid"), (2, "new", "paid"), (3, "old", "")]),
        ("delete", [OK, OK, OK], [(3, "old", "")]),
    ],
)
async def test_each_operation_does_what_its_name_says(
    crm: File, operation: str, outcomes: list[Outcome], content: list[tuple[Any, ...]]
) -> None:
    crm.run(TABLE, ROWS)
    assert await written(crm, operation, NEW) == outcomes
    assert accounts(crm) == content


async def test_append_needs_no_key_and_writes_every_time(crm: File) -> None:
    crm.run("CREATE TABLE accounts (id int, name text, plan text)")
    for _ in range(2):
        assert await written(crm, "append", NEW, key=()) == [OK] * 3
    assert crm.rows("SELECT count(*) FROM accounts") == [(6,)]


@pytest.mark.parametrize("operation", ["update", "delete"])
async def test_what_needs_no_unique_key_asks_for_none(crm: File, operation: str) -> None:
    crm.run("CREATE TABLE accounts (id int, name text, plan text)", ROWS, ROWS)
    assert await written(crm, operation, NEW) == [OK, OK, NONE if operation == "update" else OK]
    assert crm.rows("SELECT count(*) FROM accounts WHERE name = 'old'") == [(2,)]


async def test_what_needs_a_unique_key_says_so_and_an_index_will_do(crm: File) -> None:
    crm.run("CREATE TABLE accounts (id int, name text, plan text)", "CREATE UNIQUE INDEX two ON accounts (id, name)")
    with pytest.raises(DestinationError, match=r"no unique constraint on \(id\)"):
        await opened(crm, "mirror")
    crm.run("CREATE UNIQUE INDEX one ON accounts (id)")
    for _ in range(2):
        assert await written(crm, "upsert", NEW) == [OK] * 3
    assert len(accounts(crm)) == 3


@pytest.mark.parametrize("operation", ["upsert", "update"])
async def test_nulls_are_skipped_and_full_fields_kept_where_the_mapping_says_so(crm: File, operation: str) -> None:
    crm.run(TABLE, ROWS)
    new = {"id": [1, 2, 3], "name": ["new", None, None], "plan": ["paid", "paid", None]}
    await written(crm, operation, new, skip_nulls=frozenset({"name"}), only_if_empty=frozenset({"plan"}))
    assert accounts(crm) == [(1, "new", "free"), (2, "old", "paid"), (3, "old", None)]


async def test_a_record_of_another_key_is_never_changed_for_the_sake_of_another_unique_value(crm: File) -> None:
    crm.run(
        "CREATE TABLE accounts (id int PRIMARY KEY, name text UNIQUE, plan text)",
        "INSERT INTO accounts VALUES (1, 'taken', 'free')",
    )
    outcomes = await written(crm, "upsert", {"id": [2, 3], "name": ["taken", "own"], "plan": ["paid", "paid"]})
    assert outcomes == [
        Rejected("CONFLICT", 'Constraint Error: Duplicate key "…" violates unique constraint.'),
        OK,
    ]
    assert accounts(crm) == [(1, "taken", "free"), (3, "own", "paid")]


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
async def test_each_bad_value_is_told_and_every_other_record_written(crm: File, operation: str) -> None:
    crm.run(
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE accounts (id int PRIMARY KEY, i int, t tinyint, e enum('a', 'b'), d timestamp, "
        "n int NOT NULL DEFAULT 0, p int CHECK (p > 0), j json, f int REFERENCES parents (id), m decimal(4, 2))",
    )
    columns: dict[str, list[Any]] = {"id": [*range(1000)]}
    for at, (name, value, _) in enumerate(BAD):
        columns[name] = ["1" if name == "n" else None] * 1000
        columns[name][at * 100 + 7] = value
    typed = {name: pa.array(values, pa.int64() if name == "id" else pa.string()) for name, values in columns.items()}
    outcomes = await written(crm, operation, typed, fields=tuple(columns), key=() if operation == "append" else ("id",))
    refused = {at: outcome for at, outcome in enumerate(outcomes) if outcome != OK}
    assert [*refused] == [at * 100 + 7 for at in range(len(BAD))]
    for (_, value, words), outcome in zip(BAD, refused.values(), strict=True):
        assert isinstance(outcome, Rejected)
        assert outcome.code == "DESTINATION_VALIDATION"
        assert words in outcome.message
        assert value is None or len(value) < 4 or value not in outcome.message
    assert crm.rows("SELECT count(*) FROM accounts") == [(1000 - len(BAD),)]


@pytest.mark.parametrize("kind", ["int", "date", "json", "uuid", "int[]", "decimal(4, 2)", "enum('a')", "interval"])
@pytest.mark.parametrize("value", ["hush\nhush\" 'hush", "\"hush'\n\nLINE 1: hush", "constraint failed hush"])
async def test_a_value_of_several_lines_and_quotes_is_in_no_message(crm: File, kind: str, value: str) -> None:
    crm.run(f"CREATE TABLE accounts (id varchar PRIMARY KEY, v {kind})")
    [refused] = await written(crm, "upsert", {"id": ["1"], "v": [value]}, fields=("id", "v"))
    assert isinstance(refused, Rejected)
    assert "hush" not in refused.message
    doubled = await written(crm, "upsert", {"id": [value, value], "v": [None, None]}, fields=("id", "v"))
    assert "hush" not in str(doubled)


async def test_values_arrive_as_they_are(crm: File) -> None:
    crm.run(
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
        assert await written(crm, "upsert", columns, fields=tuple(columns)) == [OK, OK]
    shown = ", ".join(f"CAST({name} AS text)" if name in ("z", "zi", "u", "h") else name for name in columns)
    assert crm.rows(f"SELECT {shown} FROM accounts ORDER BY id DESC") == [
        (
            2**62, "it's \\ \"q\" 😀", Decimal("0.00000000000000000001"), bytes(range(256)), "\\x41 ä".encode(),
            dt.date(2024, 2, 29), dt.time(1, 2, 3, 4), "2024-01-02 03:04:05.000678+00", "infinity", float("inf"), True,
            [1, None], {"a": 1, "b": ["x", None]}, "[1, 2.50]", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", str(2**127 - 1),
        ),
        (2, "", None, b"", None, None, None, None, "-infinity", 1e300, False, [], {"a": 2, "b": []}, None, None, None),
    ]  # fmt: skip


async def test_a_mirror_deletes_by_keys_that_come_as_text(crm: File) -> None:
    crm.run(
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
    outcomes = await written(crm, "delete", keys, mode="mirror", key=tuple(keys), fields=tuple(keys))
    assert outcomes == [OK] * 3
    assert crm.rows("SELECT i FROM accounts") == [(18446744073709551617,)]


async def test_fields_say_what_can_be_written(crm: File) -> None:
    crm.run(
        "CREATE TABLE accounts (key int UNIQUE NOT NULL, seats int NOT NULL DEFAULT 1, "
        "twice int GENERATED ALWAYS AS (seats * 2), price decimal(9, 2))"
    )
    connector = await opened(crm, "upsert", key=("key",), fields=("key", "price"))
    assert await connector.fields() == [
        FieldInfo("key", "INTEGER", required=True),
        FieldInfo("seats", "INTEGER"),
        FieldInfo("twice", "INTEGER", read_only=True),
        FieldInfo("price", "DECIMAL(9,2)"),
    ]
    await connector.close()
    with pytest.raises(DestinationError, match="table 'accounts' fills twice by itself; take it out of the mappings"):
        await opened(crm, "upsert", key=("key",), fields=("key", "twice"))


async def test_a_table_is_made_of_the_types_of_its_first_records(crm: File) -> None:
    connector = await opened(crm, "mirror", config={"createTable": True}, fields=("id", "d", "t", "n", "l", "b"))
    assert await connector.fields() is None, "a table that is not there has no fields yet"
    keys = Batch(1, table=pa.table({"id": ["Ab"]}), operation="delete")
    assert await connector.write(keys) == [OK]
    records = pa.table(
        {
            "id": pa.array(["ab", "Ab"]),
            "d": pa.array([None, None], pa.date32()),
            "t": pa.array([0, None], pa.timestamp("us", "UTC")),
            "n": pa.array(["1.50", "2"]).cast(pa.decimal128(9, 2)),
            "l": pa.array([[1, None], []], pa.list_(pa.int32())),
            "b": pa.array([b"\xff", b""], pa.binary()),
        }
    )
    first, second = (Batch(1, table=records.slice(place, 1)) for place in (0, 1))
    for outcomes in await asyncio.gather(connector.write(first), connector.write(second)):
        assert outcomes == [OK]
    assert [(f.name, f.type, f.required) for f in await connector.fields() or ()] == [
        ("id", "VARCHAR", True),
        ("d", "DATE", False),
        ("t", "TIMESTAMP WITH TIME ZONE", False),
        ("n", "DECIMAL(9,2)", False),
        ("l", "INTEGER[]", False),
        ("b", "BLOB", False),
    ]
    assert await connector.write(keys) == [OK]
    await connector.close()
    assert crm.rows("SELECT id, n, l, b FROM accounts") == [("ab", Decimal("1.50"), [1, None], b"\xff")]


async def test_a_file_that_another_process_writes_is_tried_again_later(crm: File) -> None:
    crm.run(TABLE)
    holder = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", holder, crm.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"held\n"
    with pytest.raises(DestinationUnavailable, match="lock on file"):
        await opened(crm)
    await other.communicate(b"")
    await (await opened(crm)).close()


async def test_a_call_that_takes_too_long_is_broken_off(crm: File) -> None:
    crm.run(TABLE)
    connector = await opened(crm)
    assert isinstance(connector, TableDestination)
    connector.log_in(timedelta(milliseconds=1))
    many = pa.table({"id": range(400_000), "name": ["x"] * 400_000, "plan": ["y"] * 400_000})
    with pytest.raises(TryLater, match=r"(?i)interrupt") as raised:
        await connector.write(Batch(many.num_rows, table=many))
    assert raised.value.code == "DESTINATION_UNAVAILABLE"
    await connector.close()
    assert accounts(crm) == []


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


async def test_lookups_find_records_by_their_values(crm: File) -> None:
    crm.run(
        TABLE,
        "CREATE TABLE owners (email text, code decimal(9, 2), since timestamp)",
        "INSERT INTO owners VALUES ('a@x', 1.5, '2024-01-02 03:04:05'), ('it''s \"%s\" 😀', 2, NULL)",
    )
    connector = await opened(crm)
    quoted = '"it\'s \\"%s\\" 😀"'.encode()
    by_email = LookupRequest("owners", "email", "code")
    assert await connector.lookup(by_email, [b'"a@x"', b'"b@x"', quoted, b"null"]) == {
        b'"a@x"': b"1.50",
        quoted: b"2.00",
    }
    assert await connector.lookup(LookupRequest("owners", "code", "email"), [b"1.50", b'"many"', b"3"]) == {
        b"1.50": b'"a@x"'
    }
    assert await connector.lookup(LookupRequest("owners", "email", "since"), [quoted]) == {quoted: b"null"}
    assert await connector.lookup(by_email, []) == {}
    with pytest.raises(DestinationError, match="table 'owners' has no column mail; it has: email, code, since"):
        await connector.lookup(LookupRequest("owners", "mail", "id"), [b"1"])
    with pytest.raises(DestinationError, match="there is no table 'owner'"):
        await connector.lookup(LookupRequest("owner", "mail", "id"), [b"1"])
    await connector.close()


async def test_the_file_says_what_it_has(crm: File) -> None:
    crm.run(TABLE, "CREATE SCHEMA s", "CREATE TABLE s.t (a int)", "CREATE VIEW v AS SELECT 1 AS x")
    connector = made(crm)
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
