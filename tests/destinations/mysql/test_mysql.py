"""What the MySQL destination does to a table in each operation, and what it says of each record."""

import datetime as dt
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from retl.destinations.base import (
    Batch,
    FieldInfo,
    LoginRefused,
    LookupRequest,
    Rejected,
    Target,
    TryLater,
)
from retl.errors import DestinationError, DestinationUnavailable
from tests.destinations.tables.writing import (
    EXISTS,
    NEW,
    OK,
    ROWS,
    TABLE,
    TYPED,
    accounts,
    expect_each_told,
    fields_made,
    made,
    opened,
    written,
)
from tests.mariadb import Database


@pytest.mark.parametrize("index", [", UNIQUE (id, plan)", ", UNIQUE (id(5))"])
async def test_an_index_of_more_or_less_than_the_key_is_no_unique_key(database: Database, index: str) -> None:
    database.run(f"CREATE TABLE accounts (id varchar(9), name text, plan varchar(9){index})")
    with pytest.raises(DestinationError, match=r"no unique constraint on \(id\)"):
        await opened(database, "mirror")


async def test_keys_that_the_table_holds_for_the_same_are_told_apart_from_one_record(database: Database) -> None:
    database.run("CREATE TABLE accounts (id varchar(9) CHARACTER SET utf8mb4 PRIMARY KEY, name text, plan text)")
    outcomes = await written(database, "upsert", {"id": ["a", "A", "b"], "name": ["1", "2", "3"], "plan": [""] * 3})
    assert outcomes == [OK, Rejected("CONFLICT", "Duplicate entry '…' for key 'id'"), OK]
    assert database.rows("SELECT id, name FROM accounts ORDER BY 1") == [("a", "1"), ("b", "3")]


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
async def test_each_bad_value_is_told_and_every_other_record_written(database: Database, operation: str) -> None:
    database.run(
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE accounts (id int PRIMARY KEY, i int, s varchar(4), t tinyint, e enum('a', 'b'), d datetime, "
        "n int NOT NULL DEFAULT 0, p int CHECK (p > 0), j json, f int REFERENCES parents (id), g text)",
        "CREATE TRIGGER g BEFORE INSERT ON accounts FOR EACH ROW BEGIN IF NEW.g = 'no' THEN "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such word'; END IF; END",
    )
    await expect_each_told(database, operation, BAD)


async def test_values_arrive_as_they_are(database: Database) -> None:
    database.run(
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
    assert await written(database, "upsert", columns, fields=tuple(columns)) == [OK, OK]
    assert database.rows("SELECT * FROM accounts ORDER BY id DESC") == [
        (
            2**62, text, Decimal("0.00000000000000000001"), bytes(range(256)), dt.date(2024, 2, 29),
            timedelta(hours=1, minutes=2, seconds=3, microseconds=4), moment.replace(tzinfo=None),
            "2024-01-02T03:04:05.000678Z", 0.1, 1, '["a\\"\'\\\\",null]', b"\xc8", 2**64 - 1, "true",
        ),
        (2, "", None, b"", None, None, None, None, 1e300, 0, "[]", None, None, None),
    ]  # fmt: skip


async def test_what_the_server_does_not_have_is_refused_and_never_bent(database: Database) -> None:
    database.run("CREATE TABLE accounts (id int PRIMARY KEY, f double, z datetime, d date)")
    infinite = pa.array([None, 2**63 - 1, None], pa.int64()).cast(pa.timestamp("us"))
    never = pa.array([None, None, -(2**31 - 1)], pa.int32()).cast(pa.date32())
    columns = {"id": pa.array([1, 2, 3]), "f": pa.array([float("nan"), None, None]), "z": infinite, "d": never}
    outcomes = await written(database, "upsert", columns, fields=tuple(columns))
    assert [type(outcome) for outcome in outcomes] == [Rejected] * 3
    assert accounts(database) == []


async def test_a_mirror_deletes_by_keys_that_come_as_text(database: Database) -> None:
    database.run(
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
    outcomes = await written(database, "delete", keys, mode="mirror", key=tuple(keys), fields=tuple(keys))
    assert outcomes == [OK] * 3
    assert database.rows("SELECT i FROM accounts") == [(18446744073709551614,)]


async def test_fields_say_what_can_be_written(database: Database) -> None:
    database.run(
        "CREATE TABLE accounts (id int AUTO_INCREMENT PRIMARY KEY, `key` int UNIQUE NOT NULL, seats int NOT NULL "
        "DEFAULT 1, twice int GENERATED ALWAYS AS (seats * 2) STORED, price decimal(9, 2))"
    )
    connector = await opened(database, "upsert", key=("key",), fields=("key", "price"))
    assert await connector.fields() == [
        FieldInfo("id", "int(11)"),
        FieldInfo("key", "int(11)", required=True),
        FieldInfo("seats", "int(11)"),
        FieldInfo("twice", "int(11)", read_only=True),
        FieldInfo("price", "decimal(9,2)"),
    ]
    await connector.close()
    with pytest.raises(DestinationError, match="table 'accounts' fills twice by itself; take it out of the mappings"):
        await opened(database, "upsert", key=("key",), fields=("key", "twice"))
    with pytest.raises(DestinationError, match="table 'accounts' has no column nope; it has: id, key"):
        await opened(database, "upsert", key=("key",), fields=("key", "nope"))


async def test_a_table_is_made_of_the_types_of_its_first_records(database: Database) -> None:
    connector = await opened(
        database, "mirror", config={"createTable": True}, fields=("id", "d", "t", "n", "l", "b", "w")
    )
    assert database.rows("SHOW TABLES") == [], "a plan opens, and makes nothing"
    keys = Batch(1, table=pa.table({"id": ["Ab"]}), operation="delete")
    records = pa.table({"id": pa.array(["ab", "Ab"]), **TYPED, "w": pa.array(["x" * 70_000, ""])})
    assert await fields_made(connector, keys, records) == [
        ("id", "varchar(255)", True),
        ("d", "date", False),
        ("t", "datetime(6)", False),
        ("n", "decimal(9,2)", False),
        ("l", "longtext", False),
        ("b", "longblob", False),
        ("w", "longtext", False),
    ]
    assert database.rows("SELECT id, t, n, l, b FROM accounts ORDER BY id") == [
        ("Ab", None, Decimal("2.00"), "[]", b""),
        ("ab", dt.datetime(1970, 1, 1), Decimal("1.50"), "[1,null]", b"\xff"),
    ]
    assert await connector.write(keys) == [OK]
    assert database.rows("SELECT id FROM accounts") == [("ab",)]
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
    database: Database, config: dict[str, Any], login: dict[str, str], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as raised:
        await made(database, config, login).server()
    assert str(raised.value).count("database") >= 1
    assert "wrong" not in str(raised.value)


async def test_what_the_user_may_not_write_is_said_before_anything_is_sent(database: Database) -> None:
    database.run(TABLE)
    user = f"u{database.name[-8:]}"
    database.run(
        f"CREATE USER {user} IDENTIFIED BY 'secret'",
        f"GRANT CREATE TEMPORARY TABLES ON {database.name}.* TO {user}",
        f"GRANT SELECT, INSERT, UPDATE (name) ON {database.name}.accounts TO {user}",
    )
    connector = made(database, login={"username": user, "password": "secret"})
    settings: dict[str, Any] = {"object": "accounts", "key": ("id",), "timeout": timedelta(seconds=9)}
    with pytest.raises(DestinationError, match=r"may not write plan of table 'accounts'; GRANT it the right to upsert"):
        await connector.open(Target(mode="upsert", fields=("id", "name", "plan"), **settings))
    await connector.open(Target(mode="insert", fields=("id", "name", "plan"), **settings))
    assert await connector.write(Batch(3, table=pa.table(NEW), operation="insert")) == [OK] * 3
    assert await connector.write(Batch(3, table=pa.table(NEW), operation="insert")) == [EXISTS] * 3
    await connector.close()


async def test_a_table_without_transactions_is_refused(database: Database) -> None:
    database.run(f"{TABLE} ENGINE = MyISAM")
    with pytest.raises(DestinationError, match="table 'accounts' has the engine MyISAM, which has no transactions"):
        await opened(database)


async def test_a_row_that_another_holds_is_tried_again_later(database: Database) -> None:
    database.run(TABLE, ROWS)
    connector = await opened(database, timeout=timedelta(seconds=2))
    other = database.server.connect(database.name)
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


async def test_a_record_too_long_for_the_server_is_refused_alone(database: Database) -> None:
    [(packet,)] = database.rows("SELECT @@max_allowed_packet")
    database.run("CREATE TABLE accounts (id int PRIMARY KEY, name longtext, plan text)")
    names = ["short", "x" * packet, "short"]
    outcomes = await written(database, "upsert", {"id": [1, 2, 3], "name": names, "plan": [""] * 3})
    too_long = Rejected("DESTINATION_VALIDATION", f"longer than the server's max_allowed_packet, {packet} bytes")
    assert outcomes == [OK, too_long, OK]


async def test_lookups_find_moments_and_what_has_none(database: Database) -> None:
    database.run(
        TABLE,
        "CREATE TABLE owners (email text, since datetime)",
        "INSERT INTO owners VALUES ('a@x', '2024-01-02 03:04:05'), ('b@x', NULL)",
    )
    connector = await opened(database)
    assert await connector.lookup(LookupRequest("owners", "email", "since"), [b'"a@x"', b'"b@x"']) == {
        b'"a@x"': b'"2024-01-02T03:04:05"',
        b'"b@x"': b"null",
    }
    await connector.close()


async def test_the_server_says_what_it_is_and_what_it_has(database: Database) -> None:
    database.run(TABLE)
    connector = made(database)
    assert (await connector.server()).startswith("MariaDB 1")
    [found] = [each for each in await connector.objects() or () if each.name == "accounts"]
    assert [(f.name, f.type, f.required, f.read_only) for f in found.fields] == [
        ("id", "int(11)", True, False),
        ("name", "text", False, False),
        ("plan", "text", False, False),
    ]
    with pytest.raises(DestinationError, match="there is no table 'nothing'; create it or correct object"):
        await connector.describe("nothing", "upsert")
    assert await made_with_tables(database) is None
    await connector.close()


async def made_with_tables(database: Database) -> object:
    connector = made(database, {"createTable": True})
    await connector.server()
    try:
        return await connector.describe("nothing", "upsert")
    finally:
        await connector.close()
