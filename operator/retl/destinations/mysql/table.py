"""What MySQL and MariaDB say of a table: asked once, before anything is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from retl.destinations.mysql.session import MysqlSession
from retl.destinations.mysql.sql import text
from retl.destinations.tables.table import Column, Table
from retl.errors import DestinationError
from retl.runspec.catalog import MAX_COLUMNS

_FILLED = "extra LIKE '%STORED GENERATED%' OR extra LIKE '%VIRTUAL GENERATED%'"
_REQUIRED = f"is_nullable = 'NO' AND column_default IS NULL AND extra NOT LIKE '%auto_increment%' AND NOT ({_FILLED})"
_MAY_INSERT, _MAY_UPDATE = "privileges LIKE '%insert%'", "privileges LIKE '%update%'"
TABLES = (
    "SELECT IF(table_schema = DATABASE(), table_name, CONCAT(table_schema, '.', table_name)) AS name, column_name, "
    f"column_type, {_REQUIRED}, {_FILLED} OR NOT ({_MAY_INSERT} OR {_MAY_UPDATE}) FROM information_schema.columns "
    "WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') "
    f"ORDER BY table_schema <> DATABASE(), name, ordinal_position LIMIT {MAX_COLUMNS}"
)
"""Table, column, type, required, read-only; of all tables of which the user sees columns."""


@dataclass(frozen=True, slots=True)
class MysqlColumn(Column):
    """A column.

    Attributes:
        kind: the type without its length: varchar, decimal, json …
    """

    kind: str = ""


def describe(session: MysqlSession, name: str, database: str) -> Table | None:
    """Read a table's description; None if there is none of that name.

    Raises:
        DestinationError: its engine has no transactions, so a batch could be written by half.
    """
    schema, _, table = name.rpartition(".")
    where = f"WHERE table_schema = {text(schema or database)} AND table_name = {text(table)}"
    found = session.rows(
        f"SELECT table_type, engine, (SELECT transactions FROM information_schema.engines e WHERE e.engine = t.engine) "
        f"FROM information_schema.tables t {where}"
    )
    if not found:
        return None
    [(kind, engine, transactions)] = found
    if kind == "BASE TABLE" and transactions != "YES":
        raise DestinationError(f"table {name!r} has the engine {engine}, which has no transactions; make it InnoDB")
    columns = session.rows(
        "SELECT column_name, "
        "CONCAT(column_type, IFNULL(CONCAT(' CHARACTER SET ', character_set_name, ' COLLATE ', collation_name), '')), "
        f"column_type, {_FILLED}, {_REQUIRED}, {_MAY_INSERT}, {_MAY_UPDATE}, LOWER(data_type) "
        f"FROM information_schema.columns {where} ORDER BY ordinal_position"
    )
    keys = session.rows(
        "SELECT index_name, column_name, sub_part FROM information_schema.statistics "
        f"{where} AND NOT non_unique ORDER BY index_name, seq_in_index"
    )
    indexes = [list(parts) for _, parts in groupby(keys, lambda part: part[0])]
    return Table(
        name,
        {
            column: MysqlColumn(held, declared, bool(filled), bool(required), bool(insertable), bool(updatable), kind)
            for column, held, declared, filled, required, insertable, updatable, kind in columns
        },
        tuple(
            frozenset(column for _, column, _ in parts)
            for parts in indexes
            if all(column is not None and length is None for _, column, length in parts)
        ),
    )


def kinds(table: Table) -> Mapping[str, str]:
    """The types of the columns without their lengths."""
    return {name: column.kind for name, column in table.columns.items() if isinstance(column, MysqlColumn)}
