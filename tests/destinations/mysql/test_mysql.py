"""What the MySQL destination does to a table in each operation, and what it says of each record."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    Destination,
    FieldInfo,
    LoginRefused,
    LookupRequest,
    Outcome,
    Rejected,
    Skipped,
    Target,
    TryLater,
)
from retl.destinations.registry import DESTINATIONS
from retl.errors import DestinationError, DestinationUnavailable
from tests.mariadb import Database

OK = ACKNOWLEDGED
EXISTS = Skipped("the record exists")
NONE = Skipped("there is no such record")
TABLE = "CREATE TABLE accounts (id int PRIMARY KEY, name text, plan text)"
ROWS = "INSERT INTO accounts VALUES (1, 'old', 'free'), (2, 'old', NULL), (3, 'old', '')"
NEW = {"id": [1, 2, 4], "name": ["new"] * 3, "plan": ["paid"] * 3}


def made(crm: Database, config: Mapping[str, Any] | None = None, login: Mapping[str, str] | None = None) -> Destination:
    connector = DESTINATIONS.code("mysql")(
        DESTINATIONS.check("mysql", crm.config | dict(config or {})),
        DESTINATIONS.login("mysql", "login", crm.login | dict(login or {})),
    )
    assert isinstance(connector, Destination)
    return connector


async def opened(
    crm: Database, mode: str = "upsert", *, config: Mapping[str, Any] | None = None, **target: Any
) -> Destination:
    connector = made(crm, config)
    settings: dict[str, Any] = {
        "object": "accounts",
        "key": ("id",),
        "fields": ("id", "name", "plan"),
        "timeout": timedelta(seconds=9),
    }
    await connector.open(Target(mode=mode, **(settings | target)))
    return connector


async def written(
    crm: Database, operation: str, columns: dict[str, Any], *, mode: str = "", **target: Any
) -> list[Outcome]:
    """Outcomes of one batch."""
    connector = await opened(crm, mode or operation, **target)
    table = pa.table(columns)
    try:
        return list(await connector.write(Batch(table.num_rows, table=table, operation=operation)))
    finally:
        await connector.close()


def accounts(crm: Database) -> list[tuple[Any, ...]]:
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
    crm: Database, operation: str, outcomes: list[Outcome], content: list[tuple[Any, ...]]
) -> None:
    crm.run(TABLE, ROWS)
    assert await written(crm, operation, NEW) == outcomes
    assert accounts(crm) == content


async def test_append_needs_no_key_and_writes_every_time(crm: Database) -> None:
    crm.run("CREATE TABLE accounts (id int, name text, plan text)")
    for _ in range(2):
        assert await written(crm, "append", NEW, key=()) == [OK] * 3
    assert crm.rows("SELECT count(*) FROM accounts") == [(6,)]


@pytest.mark.parametrize("operation", ["update", "delete"])
async def test_what_needs_no_unique_key_asks_for_none(crm: Database, operation: str) -> None:
    crm.run("CREATE TABLE accounts (id int, name text, plan text)", ROWS, ROWS)
    assert await written(crm, operation, NEW) == [OK, OK, NONE if operation == "update" else OK]
    assert crm.rows("SELECT count(*) FROM accounts WHERE name = 'old'") == [(2,)]


@pytest.mark.parametrize("index", ["", ", UNIQUE (id, plan)", ", UNIQUE (id(5))"])
async def test_what_needs_a_unique_key_says_so(crm: Database, index: str) -> None:
    crm.run(f"CREATE TABLE accounts (id varchar(9), name text, plan varchar(9){index})")
    with pytest.raises(DestinationError, match=r"no unique constraint on \(id\)"):
        await opened(crm, "mirror")


@pytest.mark.parametrize("operation", ["upsert", "update"])
async def test_nulls_are_skipped_and_full_fields_kept_where_the_mapping_says_so(crm: Database, operation: str) -> None:
    crm.run(TABLE, ROWS)
    new = {"id": [1, 2, 3], "name": ["new", None, None], "plan": ["paid", "paid", None]}
    await written(crm, operation, new, skip_nulls=frozenset({"name"}), only_if_empty=frozenset({"plan"}))
    assert accounts(crm) == [(1, "new", "free"), (2, "old", "paid"), (3, "old", None)]


async def test_a_record_of_another_key_is_never_changed_for_the_sake_of_another_unique_value(crm: Database) -> None:
    crm.run(
        "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(20) UNIQUE, plan text)",
        "INSERT INTO accounts VALUES (1, 'taken', 'free')",
    )
    outcomes = await written(crm, "upsert", {"id": [2, 3], "name": ["taken", "own"], "plan": ["paid", "paid"]})
    assert outcomes == [Rejected("CONFLICT", "Duplicate entry '…' for key 'name'"), OK]
    assert accounts(crm) == [(1, "taken", "free"), (3, "own", "paid")]


async def test_keys_that_the_table_holds_for_the_same_are_told_apart_from_one_record(crm: Database) -> None:
    crm.run("CREATE TABLE accounts (id varchar(9) CHARACTER SET utf8mb4 PRIMARY KEY, name text, plan text)")
    outcomes = await written(crm, "upsert", {"id": ["a", "A", "b"], "name": ["1", "2", "3"], "plan": [""] * 3})
    assert outcomes == [OK, Rejected("CONFLICT", "Duplicate entry '…' for key 'id'"), OK]
    assert crm.rows("SELECT id, name FROM accounts ORDER BY 1") == [("a", "1"), ("b", "3")]


BAD = (
    ("i", "abc", "Incorrect integer value: '…' for column"),
    ("s", "12345", "Data too long for column 's'"),
    ("t", "500", "Out of range value for column 't'"),
    ("e", "c", "Data truncated for column 'e'"),
    ("d", "2024-13-13", "Incorrect datetime value: '…' for column"),
    ("n", None, "Column 'n' cannot be null"),
    ("p", "-1", "CONSTRAINT `accounts.p` failed"),
    ("j", "{x", "CONSTRAINT `accounts.j` failed"),
    ("f", "7", "a foreign key constraint fails"),
    ("g", "no", "no such word"),
)


@pytest.mark.parametrize("operation", ["upsert", "append"])
async def test_each_bad_value_is_told_and_every_other_record_written(crm: Database, operation: str) -> None:
    crm.run(
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE accounts (id int PRIMARY KEY, i int, s varchar(4), t tinyint, e enum('a', 'b'), d datetime, "
        "n int NOT NULL DEFAULT 0, p int CHECK (p > 0), j json, f int REFERENCES parents (id), g text)",
        "CREATE TRIGGER g BEFORE INSERT ON accounts FOR EACH ROW BEGIN IF NEW.g = 'no' THEN "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such word'; END IF; END",
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


async def test_values_arrive_as_they_are(crm: Database) -> None:
    crm.run(
        "CREATE TABLE accounts (id bigint PRIMARY KEY, t text CHARACTER SET utf8mb4, n decimal(38, 20), b longblob, "
        "d date, c time(6), z datetime(6), zt text, f double, y boolean, l json, bt bit(8), u bigint unsigned, w text)"
    )
    text = 'it\'s \\ "q" %s\n\0 😀'
    moment = dt.datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)
    columns = {
        "id": pa.array([2**62, 2], pa.int64()),
        "t": pa.array([text, ""]),
        "n": pa.array([Decimal("0.00000000000000000001"), None], pa.decimal128(38, 20)),
        "b": pa.array([bytes(range(256)), b""], pa.binary()),
        "d": pa.array([dt.date(2024, 2, 29), None]),
        "c": pa.array([dt.time(1, 2, 3, 4), None], pa.time64("us")),
        "z": pa.array([moment, None], pa.timestamp("us", "UTC")),
        "zt": pa.array([moment, None], pa.timestamp("us", "UTC")),
        "f": pa.array([0.1, 1e300]),
        "y": pa.array([True, False]),
        "l": pa.array([["a\"'\\", None], []], pa.list_(pa.string())),
        "bt": pa.array([200, None], pa.int16()),
        "u": pa.array(["18446744073709551615", None]),
        "w": pa.array([True, None]),
    }
    assert await written(crm, "upsert", columns, fields=tuple(columns)) == [OK, OK]
    assert crm.rows("SELECT * FROM accounts ORDER BY id DESC") == [
        (
            2**62, text, Decimal("0.00000000000000000001"), bytes(range(256)), dt.date(2024, 2, 29),
            timedelta(hours=1, minutes=2, seconds=3, microseconds=4), moment.replace(tzinfo=None),
            "2024-01-02T03:04:05.000678Z", 0.1, 1, '["a\\"\'\\\\",null]', b"\xc8", 2**64 - 1, "true",
        ),
        (2, "", None, b"", None, None, None, None, 1e300, 0, "[]", None, None, None),
    ]  # fmt: skip


async def test_what_the_server_does_not_have_is_refused_and_never_bent(crm: Database) -> None:
    crm.run("CREATE TABLE accounts (id int PRIMARY KEY, f double, z datetime, d date)")
    infinite = pa.array([None, 2**63 - 1, None], pa.int64()).cast(pa.timestamp("us"))
    never = pa.array([None, None, -(2**31 - 1)], pa.int32()).cast(pa.date32())
    columns = {"id": pa.array([1, 2, 3]), "f": pa.array([float("nan"), None, None]), "z": infinite, "d": never}
    outcomes = await written(crm, "upsert", columns, fields=tuple(columns))
    assert [type(outcome) for outcome in outcomes] == [Rejected] * 3
    assert accounts(crm) == []


async def test_a_mirror_deletes_by_keys_that_come_as_text(crm: Database) -> None:
    crm.run(
        "CREATE TABLE accounts (i bigint unsigned, z datetime(6), d date, n decimal(9, 2), b varbinary(9), "
        "c char(9) CHARACTER SET utf8mb4, x boolean, t bit(4), PRIMARY KEY (i, z, d, n, b, c, x, t))",
        "INSERT INTO accounts VALUES (18446744073709551615, '2024-01-02 03:04:05.5', '2024-01-02', 1.50, x'ff00', "
        "'ab', true, 5), (2, '2024-01-02 03:04:05', '2024-01-02', 0, '', '', false, 1), "
        "(18446744073709551614, '2024-01-02 03:04:05.5', '2024-01-02', 1.50, x'ff00', 'ab', true, 5)",
    )
    keys = {
        "i": ["18446744073709551615", "2", "9"],
        "z": ["2024-01-02T03:04:05.500000Z", "2024-01-02T03:04:05", "2024-01-02T03:04:05Z"],
        "d": ["2024-01-02"] * 3,
        "n": ["1.5", "0.00", "0"],
        "b": ["/wA=", "", ""],
        "c": ["ab", "", ""],
        "x": ["true", "false", "true"],
        "t": ["5", "1", "1"],
    }
    outcomes = await written(crm, "delete", keys, mode="mirror", key=tuple(keys), fields=tuple(keys))
    assert outcomes == [OK] * 3
    assert crm.rows("SELECT i FROM accounts") == [(18446744073709551614,)]


async def test_fields_say_what_can_be_written(crm: Database) -> None:
    crm.run(
        "CREATE TABLE accounts (id int AUTO_INCREMENT PRIMARY KEY, `key` int UNIQUE NOT NULL, seats int NOT NULL "
        "DEFAULT 1, twice int GENERATED ALWAYS AS (seats * 2) STORED, price decimal(9, 2))"
    )
    connector = await opened(crm, "upsert", key=("key",), fields=("key", "price"))
    assert await connector.fields() == [
        FieldInfo("id", "int(11)"),
        FieldInfo("key", "int(11)", required=True),
        FieldInfo("seats", "int(11)"),
        FieldInfo("twice", "int(11)", read_only=True),
        FieldInfo("price", "decimal(9,2)"),
    ]
    await connector.close()
    with pytest.raises(DestinationError, match="table 'accounts' fills twice by itself; take it out of the mappings"):
        await opened(crm, "upsert", key=("key",), fields=("key", "twice"))
    with pytest.raises(DestinationError, match="table 'accounts' has no column nope; it has: id, key"):
        await opened(crm, "upsert", key=("key",), fields=("key", "nope"))


async def test_a_table_is_made_of_the_types_of_its_first_records(crm: Database) -> None:
    connector = await opened(crm, "mirror", config={"createTable": True}, fields=("id", "d", "t", "n", "l", "b", "w"))
    assert await connector.fields() is None, "a table that is not there has no fields yet"
    assert crm.rows("SHOW TABLES") == [], "a plan opens, and makes nothing"
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
            "w": pa.array(["x" * 70_000, ""]),
        }
    )
    first, second = (Batch(1, table=records.slice(place, 1)) for place in (0, 1))
    for outcomes in await asyncio.gather(connector.write(first), connector.write(second)):
        assert outcomes == [OK]
    assert [(f.name, f.type, f.required) for f in await connector.fields() or ()] == [
        ("id", "varchar(255)", True),
        ("d", "date", False),
        ("t", "datetime(6)", False),
        ("n", "decimal(9,2)", False),
        ("l", "longtext", False),
        ("b", "longblob", False),
        ("w", "longtext", False),
    ]
    assert crm.rows("SELECT id, t, n, l, b FROM accounts ORDER BY id") == [
        ("Ab", None, Decimal("2.00"), "[]", b""),
        ("ab", dt.datetime(1970, 1, 1), Decimal("1.50"), "[1,null]", b"\xff"),
    ]
    assert await connector.write(keys) == [OK]
    assert crm.rows("SELECT id FROM accounts") == [("ab",)]
    await connector.close()


@pytest.mark.parametrize(
    ("config", "login", "kind", "said"),
    [
        ({"database": "nodb"}, {}, DestinationError, "Unknown database 'nodb'; correct config.database"),
        ({}, {"password": "wrong"}, LoginRefused, r"Access denied for user .*; check username and password in the Sec"),
        ({"sslMode": "required"}, {}, DestinationError, "(?i)ssl"),
        ({"port": 1}, {}, DestinationUnavailable, "Can't connect to MySQL server"),
    ],
)
async def test_what_cannot_be_opened_is_said_once_and_with_what_to_change(
    crm: Database, config: dict[str, Any], login: dict[str, str], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as raised:
        await made(crm, config, login).server()
    assert str(raised.value).count("database") >= 1
    assert "wrong" not in str(raised.value)


async def test_what_the_user_may_not_write_is_said_before_anything_is_sent(crm: Database) -> None:
    crm.run(TABLE)
    user = f"u{crm.name[-8:]}"
    crm.run(
        f"CREATE USER {user} IDENTIFIED BY 'secret'",
        f"GRANT CREATE TEMPORARY TABLES ON {crm.name}.* TO {user}",
        f"GRANT SELECT, INSERT, UPDATE (name) ON {crm.name}.accounts TO {user}",
    )
    connector = made(crm, login={"username": user, "password": "secret"})
    settings: dict[str, Any] = {"object": "accounts", "key": ("id",), "timeout": timedelta(seconds=9)}
    with pytest.raises(DestinationError, match=r"may not write plan of table 'accounts'; GRANT it the right to upsert"):
        await connector.open(Target(mode="upsert", fields=("id", "name", "plan"), **settings))
    await connector.open(Target(mode="insert", fields=("id", "name", "plan"), **settings))
    assert await connector.write(Batch(3, table=pa.table(NEW), operation="insert")) == [OK] * 3
    assert await connector.write(Batch(3, table=pa.table(NEW), operation="insert")) == [EXISTS] * 3
    await connector.close()


async def test_a_table_without_transactions_is_refused(crm: Database) -> None:
    crm.run(f"{TABLE} ENGINE = MyISAM")
    with pytest.raises(DestinationError, match="table 'accounts' has the engine MyISAM, which has no transactions"):
        await opened(crm)


async def test_a_row_that_another_holds_is_tried_again_later(crm: Database) -> None:
    crm.run(TABLE, ROWS)
    connector = await opened(crm, timeout=timedelta(seconds=2))
    other = crm.server.connect(crm.name)
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE accounts SET plan = 'theirs' WHERE id = 1")
        with pytest.raises(TryLater, match="Lock wait timeout exceeded") as raised:
            await connector.write(Batch(3, table=pa.table(NEW)))
        assert raised.value.code == "DESTINATION_UNAVAILABLE"
        cursor.execute("ROLLBACK")
    assert await connector.write(Batch(3, table=pa.table(NEW))) == [OK] * 3
    other.close()
    await connector.close()


async def test_a_record_too_long_for_the_server_is_refused_alone(crm: Database) -> None:
    [(packet,)] = crm.rows("SELECT @@max_allowed_packet")
    crm.run("CREATE TABLE accounts (id int PRIMARY KEY, name longtext, plan text)")
    names = ["short", "x" * packet, "short"]
    outcomes = await written(crm, "upsert", {"id": [1, 2, 3], "name": names, "plan": [""] * 3})
    too_long = Rejected("DESTINATION_VALIDATION", f"longer than the server's max_allowed_packet, {packet} bytes")
    assert outcomes == [OK, too_long, OK]


async def test_lookups_find_records_by_their_values(crm: Database) -> None:
    crm.run(
        TABLE,
        "CREATE TABLE owners (email text CHARACTER SET utf8mb4, code decimal(9, 2), since datetime)",
        "INSERT INTO owners VALUES ('a@x', 1.5, '2024-01-02 03:04:05'), ('it''s \"%s\" 😀', 2, NULL)",
    )
    connector = await opened(crm)
    by_email = LookupRequest("owners", "email", "since")
    quoted = '"it\'s \\"%s\\" 😀"'.encode()
    assert await connector.lookup(by_email, [b'"a@x"', b'"b@x"', quoted, b"null"]) == {
        b'"a@x"': b'"2024-01-02T03:04:05"',
        quoted: b"null",
    }
    assert await connector.lookup(LookupRequest("owners", "code", "email"), [b"1.50", b'"many"', b"3"]) == {
        b"1.50": b'"a@x"'
    }
    assert await connector.lookup(by_email, []) == {}
    with pytest.raises(DestinationError, match="table 'owners' has no column mail; it has: email, code, since"):
        await connector.lookup(LookupRequest("owners", "mail", "id"), [b"1"])
    with pytest.raises(DestinationError, match="there is no table 'owner'"):
        await connector.lookup(LookupRequest("owner", "mail", "id"), [b"1"])
    await connector.close()


async def test_the_server_says_what_it_is_and_what_it_has(crm: Database) -> None:
    crm.run(TABLE)
    connector = made(crm)
    assert (await connector.server()).startswith("MariaDB 1")
    [found] = [each for each in await connector.objects() or () if each.name == "accounts"]
    assert [(f.name, f.type, f.required, f.read_only) for f in found.fields] == [
        ("id", "int(11)", True, False),
        ("name", "text", False, False),
        ("plan", "text", False, False),
    ]
    with pytest.raises(DestinationError, match="there is no table 'nothing'; create it or correct object"):
        await connector.describe("nothing", "upsert")
    assert await made_with_tables(crm) is None
    await connector.close()


async def made_with_tables(crm: Database) -> object:
    connector = made(crm, {"createTable": True})
    await connector.server()
    try:
        return await connector.describe("nothing", "upsert")
    finally:
        await connector.close()
