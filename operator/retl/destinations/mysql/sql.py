"""The SQL that stages records and moves them into a table of MySQL or MariaDB.

Pure. The staging table has the columns of the table itself, types and collations included, so that staging tells which
values do not fit, and keys compare as the table compares them.
"""

from collections.abc import Sequence

from retl.destinations.base import Target
from retl.destinations.tables.steps import ABSENT, EXISTS, PLACE, STAGE, Ranged, Steps, assigned
from retl.destinations.tables.table import Table


def identifier(name: str) -> str:
    """One name as an SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def quoted(name: str) -> str:
    """A dotted name as SQL identifiers."""
    return ".".join(identifier(part) for part in name.split("."))


def text(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def staging(table: Table, fields: Sequence[str], key: Sequence[str]) -> list[str]:
    """Statements that make the staging table, empty.

    Args:
        key: a second record of the same key cannot be staged, as the table could not have both; empty for no key.
    """
    columns = [f"{PLACE} int NOT NULL PRIMARY KEY"]
    columns += [f"{identifier(name)} {table.columns[name].type} NULL" for name in fields]
    if key and frozenset(key) in table.unique:
        columns.append(f"UNIQUE ({', '.join(map(identifier, key))})")
    return [
        f"DROP TEMPORARY TABLE IF EXISTS {STAGE}",
        f"CREATE TEMPORARY TABLE {STAGE} ({', '.join(columns)}) ENGINE = InnoDB",
    ]


def staged(fields: Sequence[str], records: Sequence[str]) -> str:
    """The statement that stages some records, each written as `literals.records` does."""
    columns = ", ".join([PLACE, *map(identifier, fields)])
    return f"INSERT INTO {STAGE} ({columns}) VALUES {','.join(records)}"


def steps(operation: str, target: Target, fields: Sequence[str]) -> Steps:
    """The steps of an operation.

    Args:
        fields: of the staged records.
    """
    table, columns = quoted(target.object), ", ".join(map(identifier, fields))
    values = ", ".join(f"s.{identifier(name)}" for name in fields)
    insert = f"INSERT INTO {table} ({columns}) SELECT {values} FROM {STAGE} s"
    if operation == "append":
        return Steps(insert=Ranged(f"{insert} WHERE"))
    same = " AND ".join(f"t.{identifier(name)} = s.{identifier(name)}" for name in target.key)
    joined = f"{STAGE} s JOIN {table} t ON {same}"
    if operation == "delete":
        return Steps(change=Ranged(f"DELETE t FROM {joined} WHERE"))
    lacking = f"{insert} LEFT JOIN {table} t ON {same} WHERE t.{identifier(target.key[0])} IS NULL AND"
    present = f"SELECT DISTINCT s.{PLACE} FROM {joined} WHERE"
    if operation == "insert":
        return Steps(Ranged(present), insert=Ranged(lacking), if_present=EXISTS)
    changes = _changes(target, [name for name in fields if name not in target.key])
    change = Ranged(f"UPDATE {joined} SET {', '.join(changes)} WHERE") if changes else None
    locked = Ranged(present, "FOR UPDATE")
    if operation == "update":
        return Steps(locked, change, if_absent=ABSENT)
    return Steps(locked, change, Ranged(lacking))


def looked_up(table: str, match: str, wanted: str) -> str:
    """The query that finds what records hold, by the places of the staged values."""
    return (
        f"SELECT s.{PLACE}, t.{identifier(wanted)} FROM {STAGE} s JOIN {quoted(table)} t "
        f"ON t.{identifier(match)} = s.{identifier(match)}"
    )


def _changes(target: Target, fields: Sequence[str]) -> list[str]:
    """The assignments to a record that is there."""
    changes = []
    for name in fields:
        new, old = f"s.{identifier(name)}", f"t.{identifier(name)}"
        changes.append(f"{old} = {assigned(target, name, new=new, old=old, text=f'CAST({old} AS char)')}")
    return changes
