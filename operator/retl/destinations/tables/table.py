"""What a table looks like, and whether a sync can write into it."""

from collections.abc import Mapping
from dataclasses import dataclass

from retl.destinations.base import FieldInfo, Target

OPERATIONS = {"mirror": ("upsert", "delete")}
"""Operations of a mode, where it is not one of its own name."""
INSERTING = frozenset({"upsert", "insert", "append"})
"""Operations that make records."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        type: what values are turned into before they are compared or written; the server's own word for it.
        declared: the type as it was declared.
        filled: the database fills it and takes no value (generated, or identity always).
        required: it takes no NULL and has no default.
        insertable: the login may insert into it.
        updatable: the login may update it.
    """

    type: str
    declared: str
    filled: bool = False
    required: bool = False
    insertable: bool = True
    updatable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        unique: columns of each unique index by which a record can be found.
        empty: it has no row, as far as is known.
    """

    name: str
    columns: Mapping[str, Column]
    unique: tuple[frozenset[str], ...]
    empty: bool = False

    def problem(self, target: Target) -> str:
        """Why the target's records cannot be written into it; empty if they can."""
        table = f"table {self.name!r}"
        if missing := [f for f in target.fields if f not in self.columns]:
            return f"{table} has no column {', '.join(missing)}; it has: {', '.join(self.columns)}"
        operations = operations_of(target.mode)
        if {"upsert", "insert"} & {*operations} and frozenset(target.key) not in self.unique:
            columns = ", ".join(target.key)
            return (
                f"{table} has no unique constraint on ({columns}), which the mappings mark as key; "
                f"add one: ALTER TABLE {self.name} ADD UNIQUE ({columns})"
            )
        for operation in operations:
            fields = _written(operation, target)
            if filled := [f for f in fields if self.columns[f].filled]:
                return f"{table} fills {', '.join(filled)} by itself; take it out of the mappings"
            if barred := [f for f in fields if not self._allows(operation, f, target)]:
                return f"the role may not write {', '.join(barred)} of {table}; GRANT it the right to {operation}"
        return ""

    def fields(self, target: Target) -> list[FieldInfo]:
        """The columns as fields of a destination."""
        operations = operations_of(target.mode)
        return [
            FieldInfo(
                name,
                column.declared,
                read_only=column.filled or not all(self._allows(operation, name, target) for operation in operations),
                required=operations[0] in INSERTING and column.required,
            )
            for name, column in self.columns.items()
        ]

    def described(self) -> list[FieldInfo]:
        """The columns as fields, whatever a sync does with them."""
        return [
            FieldInfo(
                name,
                column.declared,
                read_only=column.filled or not (column.insertable or column.updatable),
                required=column.required,
            )
            for name, column in self.columns.items()
        ]

    def _allows(self, operation: str, field: str, target: Target) -> bool:
        """Whether the login may do to a column what the operation does."""
        column = self.columns[field]
        updates = operation in ("upsert", "update") and field not in target.key
        return (column.insertable or operation not in INSERTING) and (column.updatable or not updates)


def operations_of(mode: str) -> tuple[str, ...]:
    """The operations of a mode."""
    return OPERATIONS.get(mode, (mode,))


def _written(operation: str, target: Target) -> list[str]:
    if operation == "delete":
        return []
    return [f for f in target.fields if operation != "update" or f not in target.key]
