"""What holds for a table of any database: what each operation does to it, and what is said of each record."""

from typing import Any

import pytest

from retl.destinations.base import LookupRequest, Outcome, Rejected
from retl.errors import DestinationError
from tests.destinations.tables.writing import (
    EXISTS,
    KEYLESS,
    NEW,
    NONE,
    OK,
    ROWS,
    TABLE,
    Tables,
    accounts,
    opened,
    written,
)


@pytest.fixture(params=["file", "database", "warehouse"])
def crm(request: pytest.FixtureRequest) -> Tables:
    """An empty database: of DuckDB, MySQL, PostgreSQL."""
    found: Tables = request.getfixturevalue(request.param)
    return found


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
    crm: Tables, operation: str, outcomes: list[Outcome], content: list[tuple[Any, ...]]
) -> None:
    crm.run(TABLE, ROWS)
    assert await written(crm, operation, NEW) == outcomes
    assert accounts(crm) == content


async def test_append_needs_no_key_and_writes_every_time(crm: Tables) -> None:
    crm.run(KEYLESS)
    for _ in range(2):
        assert await written(crm, "append", NEW, key=()) == [OK] * 3
    assert crm.rows("SELECT count(*) FROM accounts") == [(6,)]


@pytest.mark.parametrize("operation", ["update", "delete"])
async def test_what_needs_no_unique_key_asks_for_none(crm: Tables, operation: str) -> None:
    crm.run(KEYLESS, ROWS, ROWS)
    assert await written(crm, operation, NEW) == [OK, OK, NONE if operation == "update" else OK]
    assert crm.rows("SELECT count(*) FROM accounts WHERE name = 'old'") == [(2,)]


async def test_what_needs_a_unique_key_says_so(crm: Tables) -> None:
    crm.run(KEYLESS)
    for mode in ("insert", "mirror"):
        with pytest.raises(DestinationError, match=r"no unique constraint on \(id\)"):
            await opened(crm, mode)


@pytest.mark.parametrize("operation", ["upsert", "update"])
async def test_nulls_are_skipped_and_full_fields_kept_where_the_mapping_says_so(crm: Tables, operation: str) -> None:
    crm.run(TABLE, ROWS)
    new = {"id": [1, 2, 3], "name": ["new", None, None], "plan": ["paid", "paid", None]}
    await written(crm, operation, new, skip_nulls=frozenset({"name"}), only_if_empty=frozenset({"plan"}))
    assert accounts(crm) == [(1, "new", "free"), (2, "old", "paid"), (3, "old", None)]
    both = frozenset({"plan"})
    new = {"id": [2, 3], "name": ["x", "x"], "plan": ["p", None]}
    await written(crm, operation, new, skip_nulls=both, only_if_empty=both)
    assert accounts(crm)[1:] == [(2, "x", "paid"), (3, "x", None)]


async def test_a_record_of_another_key_is_never_changed_for_the_sake_of_another_unique_value(crm: Tables) -> None:
    crm.run(
        "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(20) UNIQUE, plan text)",
        "INSERT INTO accounts VALUES (1, 'taken', 'free')",
    )
    outcomes = await written(crm, "upsert", {"id": [2, 3], "name": ["taken", "own"], "plan": ["paid", "paid"]})
    said = {
        "duckdb": 'Constraint Error: Duplicate key "…" violates unique constraint.',
        "mysql": "Duplicate entry '…' for key 'name'",
        "postgres": 'duplicate key value violates unique constraint "accounts_name_key"',
    }
    assert outcomes == [Rejected("CONFLICT", said[crm.connector]), OK]
    assert accounts(crm) == [(1, "taken", "free"), (3, "own", "paid")]


async def test_lookups_find_records_by_their_values(crm: Tables) -> None:
    crm.run(
        TABLE,
        "CREATE TABLE owners (email text, code decimal(9, 2), id int)",
        "INSERT INTO owners VALUES ('a@x', 1.5, 1), ('it''s \"%s\" 😀', 2, NULL), ('a@x', 3, 1)",
    )
    connector = await opened(crm)
    by_email, by_code = LookupRequest("owners", "email", "id"), LookupRequest("owners", "code", "email")
    quoted = '"it\'s \\"%s\\" 😀"'.encode()
    assert await connector.lookup(by_email, [b'"a@x"', b'"b@x"', quoted, b"null"]) == {b'"a@x"': b"1", quoted: b"null"}
    assert await connector.lookup(LookupRequest("owners", "email", "code"), [quoted]) == {quoted: b"2.00"}
    assert await connector.lookup(by_code, [b"1.50", b'"many"', b"3", b"4"]) == {b"1.50": b'"a@x"', b"3": b'"a@x"'}
    assert await connector.lookup(by_code, []) == {}
    with pytest.raises(DestinationError, match="table 'owners' has no column mail; it has: email, code, id"):
        await connector.lookup(LookupRequest("owners", "mail", "id"), [b"1"])
    with pytest.raises(DestinationError, match="there is no table 'owner'"):
        await connector.lookup(LookupRequest("owner", "mail", "id"), [b"1"])
    await connector.close()
