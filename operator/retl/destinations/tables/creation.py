"""A table that a sync makes because it is not there: its columns are the fields, its types those of the first records.

Pure. No record has come when a run opens its destination, so the table is made when the first batch is written.
"""

from collections.abc import Callable

import pyarrow as pa

from retl.destinations.base import ACKNOWLEDGED, Outcome, Target
from retl.destinations.tables.steps import ABSENT
from retl.destinations.tables.table import INSERTING, operations_of

TypeOf = Callable[[pa.DataType, bool], str]
"""The server's word for an Arrow type; the second argument says whether the column is part of the key."""


def creatable(target: Target) -> bool:
    """Whether the sync's mode makes records, so that it is right to make a table for them."""
    return bool(INSERTING & {*operations_of(target.mode)})


def create_table(
    table: str, target: Target, schema: pa.Schema, identifier: Callable[[str], str], type_of: TypeOf
) -> str:
    """SQL that makes the table; the key fields are its primary key.

    Args:
        table: as SQL has it, quoted.
        schema: of the records.
    """
    columns = [
        f"{identifier(name)} {type_of(schema.field(name).type, name in target.key)}"
        for name in schema.names
        if name in target.fields
    ]
    if target.key:
        columns.append(f"PRIMARY KEY ({', '.join(map(identifier, target.key))})")
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)})"


def without_table(operation: str) -> Outcome:
    """What becomes of a record of an operation that makes none, in a table that is not there."""
    return ACKNOWLEDGED if operation == "delete" else ABSENT
