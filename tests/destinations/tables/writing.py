"""A table of any of the databases as a test writes into it and looks at it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, LiteralString, Protocol

import pyarrow as pa

from retl.destinations.base import ACKNOWLEDGED, Batch, Destination, Outcome, Rejected, Skipped, Target
from retl.destinations.registry import DESTINATIONS
from retl.errors import DestinationError

OK = ACKNOWLEDGED
EXISTS = Skipped("the record exists")
NONE = Skipped("there is no such record")
TABLE = "CREATE TABLE accounts (id int PRIMARY KEY, name text, plan text)"
KEYLESS = "CREATE TABLE accounts (id int, name text, plan text)"
ROWS = "INSERT INTO accounts VALUES (1, 'old', 'free'), (2, 'old', NULL), (3, 'old', '')"
NEW = {"id": [1, 2, 4], "name": ["new"] * 3, "plan": ["paid"] * 3}
TYPED = {
    "d": pa.array([None, None], pa.date32()),
    "t": pa.array([0, None], pa.timestamp("us", "UTC")),
    "n": pa.array(["1.50", "2"]).cast(pa.decimal128(9, 2)),
    "l": pa.array([[1, None], []], pa.list_(pa.int32())),
    "b": pa.array([b"\xff", b""], pa.binary()),
}
"""Values of two records of which a table is made."""


class Tables(Protocol):
    """One database, as a destination and as what a test itself looks into."""

    @property
    def connector(self) -> str: ...

    @property
    def config(self) -> dict[str, Any]: ...

    @property
    def login(self) -> dict[str, str]: ...

    def run(self, *statements: LiteralString) -> None: ...

    def rows(self, query: LiteralString, /) -> list[tuple[Any, ...]]: ...


def made(crm: Tables, config: Mapping[str, Any] | None = None, login: Mapping[str, str] | None = None) -> Destination:
    """The connector, not yet opened."""
    connector = DESTINATIONS.code(crm.connector)(
        DESTINATIONS.check(crm.connector, crm.config | dict(config or {})),
        DESTINATIONS.login(crm.connector, "login", crm.login | dict(login or {})),
    )
    assert isinstance(connector, Destination)
    return connector


async def opened(
    crm: Tables, mode: str = "upsert", *, config: Mapping[str, Any] | None = None, **target: Any
) -> Destination:
    """The connector with the table accounts for its target."""
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
    crm: Tables, operation: str, columns: dict[str, Any], *, mode: str = "", **target: Any
) -> list[Outcome]:
    """Outcomes of one batch."""
    connector = await opened(crm, mode or operation, **target)
    table = pa.table(columns)
    try:
        return list(await connector.write(Batch(table.num_rows, table=table, operation=operation)))
    finally:
        await connector.close()


def accounts(crm: Tables) -> list[tuple[Any, ...]]:
    """All records."""
    return crm.rows("SELECT * FROM accounts ORDER BY 1, 2")


async def expect_each_told(crm: Tables, operation: str, bad: Sequence[tuple[str, str | None, str]]) -> None:
    """Each column's bad value, among a thousand records, is refused alone, in words that do not quote it.

    Args:
        bad: columns of text, a value that each cannot have, and what must be said of it. The column n is never null.
    """
    columns: dict[str, list[Any]] = {"id": [*range(1000)]}
    for at, (name, value, _) in enumerate(bad):
        columns[name] = ["1" if name == "n" else None] * 1000
        columns[name][at * 100 + 7] = value
    typed = {name: pa.array(values, pa.int64() if name == "id" else pa.string()) for name, values in columns.items()}
    outcomes = await written(crm, operation, typed, fields=tuple(columns), key=() if operation == "append" else ("id",))
    refused = {at: outcome for at, outcome in enumerate(outcomes) if outcome != OK}
    assert [*refused] == [at * 100 + 7 for at in range(len(bad))]
    for (_, value, words), outcome in zip(bad, refused.values(), strict=True):
        assert isinstance(outcome, Rejected)
        assert outcome.code == "DESTINATION_VALIDATION"
        assert words in outcome.message
        assert value is None or len(value) < 4 or value not in outcome.message
    assert crm.rows("SELECT count(*) FROM accounts") == [(1000 - len(bad),)]


async def fields_made(connector: Destination, keys: Batch, records: pa.Table) -> list[tuple[str, str, bool]]:
    """Name, type and whether it is required of each field of a table that two records make at once, and keys do not."""
    assert await connector.fields() is None, "a table that is not there has no fields yet"
    assert await connector.write(keys) == [OK]
    first, second = (Batch(1, table=records.slice(place, 1)) for place in (0, 1))
    for outcomes in await asyncio.gather(connector.write(first), connector.write(second)):
        assert outcomes == [OK]
    return [(f.name, f.type, f.required) for f in await connector.fields() or ()]
