"""What the PostgreSQL destination does to a table in each operation, and what it says of each record."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from retl.destinations.base import (
    Batch,
    BatchRejected,
    FieldInfo,
    LookupRequest,
    Outcome,
    Rejected,
    Target,
    TryLater,
)
from retl.errors import DestinationError
from tests.destinations.tables.writing import (
    EXISTS,
    KEYLESS,
    NEW,
    NONE,
    OK,
    ROWS,
    TABLE,
    TYPED,
    accounts,
    fields_made,
    made,
    opened,
    written,
)
from tests.engine.warehouse import Warehouse

SWALLOWED = Rejected("DESTINATION_VALIDATION", "a trigger or rule of the table kept the record from being written")


async def test_a_mirror_deletes_by_keys_that_come_as_text(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TABLE accounts (i int, t timestamptz, d date, u uuid, n numeric, b bytea, c char(3), x boolean, "
        "PRIMARY KEY (i, t, d, u, n, b, c, x))",
        "INSERT INTO accounts VALUES (1, 'infinity', '-infinity', '6ba7b810-9dad-11d1-80b4-00c04fd430c8', 1.50, "
        "'\\xff00', 'ab', true), (2, '2024-01-02T03:04:05Z', '2024-01-02', '6ba7b810-9dad-11d1-80b4-00c04fd430c8', "
        "'NaN', '', 'abc', false), (3, 'now', 'now', gen_random_uuid(), 1, '', '', true)",
    )
    uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    keys = {
        "i": ["1", "2", "9"],
        "t": ["infinity", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"],
        "d": ["-infinity", "2024-01-02", "2024-01-02"],
        "u": [uuid] * 3,
        "n": ["1.5", "nan", "0"],
        "b": ["/wA=", "", ""],
        "c": ["ab", "abc", ""],
        "x": ["true", "false", "true"],
    }
    outcomes = await written(warehouse, "delete", keys, mode="mirror", key=tuple(keys), fields=tuple(keys))
    assert outcomes == [OK] * 3
    assert warehouse.rows("SELECT i FROM accounts") == [(3,)]


@pytest.mark.parametrize(
    ("operation", "outcomes"),
    [
        ("upsert", [OK, SWALLOWED, SWALLOWED, OK]),
        ("insert", [EXISTS, EXISTS, SWALLOWED, OK]),
        ("update", [OK, SWALLOWED, NONE, NONE]),
        ("delete", [OK, SWALLOWED, OK, OK]),
        ("append", [OK, SWALLOWED, SWALLOWED, OK]),
    ],
)
async def test_what_a_trigger_swallows_does_not_count_as_written(
    warehouse: Warehouse, operation: str, outcomes: list[Outcome]
) -> None:
    warehouse.run(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF coalesce(NEW.id, OLD.id) % 4 IN (2, 3) THEN RETURN NULL; END IF; RETURN coalesce(NEW, OLD); END'",
        TABLE if operation != "append" else KEYLESS,
    )
    if operation != "append":
        warehouse.run("INSERT INTO accounts VALUES (1, 'old', 'free'), (2, 'old', NULL)")
    warehouse.run(
        "CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION swallow()"
    )
    new = {"id": [1, 2, 3, 4], "name": ["new"] * 4, "plan": ["paid"] * 4}
    assert await written(warehouse, operation, new) == outcomes


async def test_an_upsert_of_keys_alone_leaves_records_as_they_are(warehouse: Warehouse) -> None:
    warehouse.run(TABLE, ROWS)
    assert await written(warehouse, "upsert", {"id": [1, 9]}, fields=("id",)) == [OK, OK]
    assert accounts(warehouse)[0] == (1, "old", "free")
    assert len(accounts(warehouse)) == 4


@pytest.mark.parametrize("bad", [0, 1, 511, 700, 1023])
@pytest.mark.parametrize("operation", ["upsert", "append", "insert", "update"])
async def test_one_bad_row_of_many_costs_few_statements(warehouse: Warehouse, operation: str, bad: int) -> None:
    event = "UPDATE" if operation == "update" else "INSERT"
    warehouse.run(
        "CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL, plan text)",
        "CREATE SEQUENCE tries",
        "CREATE FUNCTION count_try() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM nextval(''tries''); RETURN NULL; END'",
        "INSERT INTO accounts SELECT i, 'old' FROM generate_series(0, 1023) i",
        "DELETE FROM accounts" if event == "INSERT" else "SELECT",
        f"CREATE TRIGGER t BEFORE {event} ON accounts FOR EACH STATEMENT EXECUTE FUNCTION count_try()",
    )
    names = [None if i == bad else "new" for i in range(1024)]
    outcomes = await written(warehouse, operation, {"id": list(range(1024)), "name": names, "plan": names})
    assert [i for i, outcome in enumerate(outcomes) if outcome != OK] == [bad]
    assert isinstance(outcomes[bad], Rejected)
    assert warehouse.rows("SELECT count(*) FROM accounts WHERE name = 'new'") == [(1023,)]
    ((tries,),) = warehouse.rows("SELECT last_value FROM tries")
    assert tries <= 1 + 2 * 10


async def test_a_deferred_constraint_refuses_an_append_as_a_whole(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TABLE accounts (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, name text, plan text)",
        "INSERT INTO accounts VALUES (2)",
    )
    connector = await opened(warehouse, "append")
    table = pa.table({"id": [1, 2], "name": ["a", "b"], "plan": ["", ""]})
    with pytest.raises(BatchRejected, match="duplicate key value"):
        await connector.write(Batch(2, table=table, operation="append"))
    assert accounts(warehouse) == [(2, None, None)]
    await connector.close()


@pytest.mark.parametrize(
    ("operation", "when", "code"),
    [
        ("append", "", "DESTINATION_UNAVAILABLE"),
        ("append", "DEFERRABLE INITIALLY DEFERRED", "OUTCOME_UNKNOWN"),
        ("upsert", "", "OUTCOME_UNKNOWN"),
    ],
)
async def test_a_connection_that_breaks_leaves_doubt_only_where_something_may_be_written(
    warehouse: Warehouse, operation: str, when: str, code: str
) -> None:
    warehouse.run(
        TABLE,
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(9); RETURN NULL; END'",
        f"CREATE CONSTRAINT TRIGGER t AFTER INSERT ON accounts {when} FOR EACH ROW EXECUTE FUNCTION die()",
    )
    connector = await opened(warehouse, operation)
    with pytest.raises(TryLater) as raised:
        await connector.write(Batch(3, table=pa.table(NEW), operation=operation))
    assert raised.value.code == code
    assert accounts(warehouse) == []
    await connector.close()


@pytest.mark.parametrize(
    ("operation", "bad", "code", "left"),
    [
        ("upsert", 9, "DESTINATION_UNAVAILABLE", 0),
        ("upsert", 0, "OUTCOME_UNKNOWN", 1),
        ("append", 0, "DESTINATION_UNAVAILABLE", 0),
    ],
)
async def test_a_batch_that_is_broken_off_in_the_middle_of_a_search_is_in_doubt(
    warehouse: Warehouse, operation: str, bad: int, code: str, left: int
) -> None:
    warehouse.run(
        f"CREATE TABLE accounts (id int PRIMARY KEY CHECK (id <> {bad}), name text, plan text)",
        "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF NEW.id = 3 THEN PERFORM pg_sleep(9); END IF; RETURN NEW; END'",
        "CREATE TRIGGER t BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION doze()",
    )
    connector = await opened(warehouse, operation, timeout=timedelta(milliseconds=300))
    table = pa.table({"id": range(4), "name": ["new"] * 4, "plan": ["paid"] * 4})
    with pytest.raises(TryLater, match="statement timeout") as raised:
        await connector.write(Batch(4, table=table, operation=operation))
    assert raised.value.code == code
    assert warehouse.rows("SELECT count(*) FROM accounts") == [(left,)]
    await connector.close()


async def test_a_trigger_may_refuse_with_a_state_of_its_own(warehouse: Warehouse) -> None:
    warehouse.run(
        TABLE,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF NEW.id = 2 THEN RAISE ''no % here'', NEW.name USING ERRCODE = ''U2001''; END IF; RETURN NEW; END'",
        "CREATE TRIGGER t BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION no()",
    )
    assert await written(warehouse, "upsert", NEW) == [OK, Rejected("DESTINATION_VALIDATION", "no new here"), OK]


async def test_json_arrays_arrive_in_array_columns(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE accounts (id int PRIMARY KEY, a jsonb[], b int[], c text[], d json[])")
    columns = {
        "id": [1, 2, 3],
        "a": ['[{"x":1.50},null,"s"]', "[]", None],
        "b": ["[1,null,3]", "{{1,2},{3,4}}", "[0:1]={7,8}"],
        "c": ['["a,\\"b",null]', '{"null","[1]"}', "[]"],
        "d": ['[1.0,"x"]', '{"{}"}', None],
    }
    assert await written(warehouse, "upsert", columns, fields=tuple(columns)) == [OK] * 3
    assert warehouse.rows("SELECT a::text, b::text, c::text, d::text FROM accounts ORDER BY id") == [
        ('{"{\\"x\\": 1.50}",NULL,"\\"s\\""}', "{1,NULL,3}", '{"a,\\"b",NULL}', '{1.0,"\\"x\\""}'),
        ("{}", "{{1,2},{3,4}}", '{"null",[1]}', '{"{}"}'),
        (None, "[0:1]={7,8}", "{}", None),
    ]


async def test_a_table_that_was_empty_may_be_written_by_others_meanwhile(warehouse: Warehouse) -> None:
    warehouse.run(TABLE)
    connector = await opened(warehouse)
    batch = Batch(3, table=pa.table(NEW))
    assert await connector.write(batch) == [OK] * 3
    warehouse.run("UPDATE accounts SET name = 'theirs'", "INSERT INTO accounts VALUES (5, 'theirs')")
    assert (
        await connector.write(Batch(2, table=pa.table({"id": [5, 6], "name": ["new"] * 2, "plan": [""] * 2})))
        == [OK] * 2
    )
    assert await connector.write(batch) == [OK] * 3
    assert warehouse.rows("SELECT id FROM accounts WHERE name = 'new' ORDER BY 1") == [(1,), (2,), (4,), (5,), (6,)]
    await connector.close()


async def test_fields_say_what_can_be_written(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE DOMAIN email AS varchar(80)",
        "CREATE TABLE accounts (id int GENERATED ALWAYS AS IDENTITY, key int UNIQUE NOT NULL, mail email, "
        "seats int NOT NULL DEFAULT 1, twice int GENERATED ALWAYS AS (seats * 2) STORED, price numeric(9, 2))",
    )
    connector = await opened(warehouse, "upsert", key=("key",), fields=("key", "mail"))
    assert await connector.fields() == [
        FieldInfo("id", "integer", read_only=True),
        FieldInfo("key", "integer", required=True),
        FieldInfo("mail", "email"),
        FieldInfo("seats", "integer"),
        FieldInfo("twice", "integer", read_only=True),
        FieldInfo("price", "numeric(9,2)"),
    ]
    await connector.close()
    with pytest.raises(DestinationError, match="table 'accounts' fills twice by itself; take it out of the mappings"):
        await opened(warehouse, "upsert", key=("key",), fields=("key", "twice"))
    await (await opened(warehouse, "update", key=("id",), fields=("id", "mail"))).close()


@pytest.mark.parametrize(
    ("config", "login", "said"),
    [
        ({"database": "nodb"}, {}, r"database \"nodb\" does not exist; correct config.database"),
        ({}, {"password": "wrong"}, r"password authentication failed .*; check username and password in the Secret"),
    ],
)
async def test_what_cannot_be_opened_is_said_once_and_with_what_to_change(
    warehouse: Warehouse, config: dict[str, Any], login: dict[str, Any], said: str
) -> None:
    connector = made(warehouse, config, login)
    with pytest.raises(DestinationError, match=said) as raised:
        await connector.open(Target(mode="append", object="accounts", key=(), fields=(), timeout=timedelta(seconds=9)))
    assert str(raised.value).count("PostgreSQL") == 1


async def test_what_the_role_may_not_write_is_said_before_anything_is_sent(warehouse: Warehouse) -> None:
    warehouse.run(TABLE)
    role = f"role_{warehouse.database}"
    password = warehouse.server.create_login(role)
    warehouse.run(f"GRANT SELECT, INSERT, UPDATE (name) ON accounts TO {role}")
    settings: dict[str, Any] = {"object": "accounts", "key": ("id",), "timeout": timedelta(seconds=9)}
    connector = made(warehouse, login={"username": role, "password": password})
    with pytest.raises(DestinationError, match=r"may not write plan of table 'accounts'; GRANT it the right to upsert"):
        await connector.open(Target(mode="upsert", fields=("id", "name", "plan"), **settings))
    await connector.open(Target(mode="insert", fields=("id", "name", "plan"), **settings))
    await connector.open(Target(mode="upsert", fields=("id", "name"), **settings))
    assert [f.name for f in await connector.fields() or () if f.read_only] == ["plan"]
    await connector.close()


async def test_a_table_is_made_of_the_types_of_its_first_records(warehouse: Warehouse) -> None:
    connector = await opened(
        warehouse, "mirror", config={"createTable": True}, object="public.made", fields=("id", *TYPED)
    )
    assert warehouse.rows("SELECT to_regclass('public.made')::text") == [(None,)], "a plan opens, and makes nothing"
    keys = Batch(1, table=pa.table({"id": ["1"]}), operation="delete")
    records = pa.table({"id": pa.array([1, 2], pa.int64()), **TYPED})
    assert await fields_made(connector, keys, records) == [
        ("id", "bigint", True),
        ("d", "date", False),
        ("t", "timestamp with time zone", False),
        ("n", "numeric(9,2)", False),
        ("l", "integer[]", False),
        ("b", "bytea", False),
    ]
    assert warehouse.rows("SELECT id, n::text, l, b FROM made ORDER BY id") == [
        (1, "1.50", [1, None], b"\xff"),
        (2, "2.00", [], b""),
    ]
    assert await connector.write(keys) == [OK]
    assert warehouse.rows("SELECT id FROM made") == [(2,)]
    await connector.close()


async def test_no_table_is_made_for_what_makes_no_records(warehouse: Warehouse) -> None:
    with pytest.raises(DestinationError, match="there is no table 'accounts'; create it or correct object"):
        await opened(warehouse, "update", config={"createTable": True})
    with pytest.raises(DestinationError, match="with createTable, a sync that inserts makes it"):
        await opened(warehouse, "upsert")


async def test_a_table_that_cannot_be_made_ends_the_run(warehouse: Warehouse) -> None:
    connector = await opened(warehouse, config={"createTable": True}, object="nowhere.accounts")
    with pytest.raises(DestinationError, match='schema "nowhere" does not exist'):
        await connector.write(Batch(3, table=pa.table(NEW)))
    await connector.close()


async def test_lookups_find_ids_and_not_what_no_column_can_have(warehouse: Warehouse) -> None:
    warehouse.run(
        TABLE,
        "CREATE TABLE owners (email text, code numeric, id uuid)",
        "INSERT INTO owners VALUES ('a@x', 1.5, '6ba7b810-9dad-11d1-80b4-00c04fd430c8')",
    )
    connector = await opened(warehouse)
    assert await connector.lookup(LookupRequest("owners", "email", "id"), [b'"a@x"', b'"nul\\u0000"']) == {
        b'"a@x"': b'"6ba7b810-9dad-11d1-80b4-00c04fd430c8"'
    }
    by_code = LookupRequest("owners", "code", "email")
    assert await connector.lookup(by_code, [b"1.50", b"12345678901234567890"]) == {b"1.50": b'"a@x"'}
    await connector.close()
