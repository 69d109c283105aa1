"""Fills the staging table, and says which records did not fit into it."""

from collections.abc import Sequence

import pyarrow as pa

from retl.destinations.base import Rejected
from retl.destinations.mysql import literals
from retl.destinations.mysql.session import MysqlSession
from retl.destinations.mysql.sql import staged, staging
from retl.destinations.mysql.table import kinds
from retl.destinations.tables.search import refused
from retl.destinations.tables.steps import Refused
from retl.destinations.tables.table import Table

STATEMENT_BYTES = 2**20
"""Of the records in one statement, unless the server takes less."""
ENVELOPE_BYTES = 64 * 1024
"""Left for the rest of the statement, names of columns above all."""


def stage(
    session: MysqlSession, table: Table, records: pa.Table, key: Sequence[str] = (), *, keys_as_text: bool = False
) -> dict[int, Rejected]:
    """Stage records; those that the table cannot have, by place.

    Args:
        key: no two records may have the same.
        keys_as_text: values are texts, and bytes base64.
    """
    fields = records.schema.names
    for sql in staging(table, fields, key):
        session.count(sql)
    missing: dict[int, Rejected] = {}
    room = session.packet - ENVELOPE_BYTES
    rows = literals.records(records, kinds(table), keys_as_text=keys_as_text)
    for first, chunk in literals.chunks(rows, min(STATEMENT_BYTES, room)):
        if len(chunk) == 1 and len(chunk[0].encode()) > room:
            missing[first] = Rejected(
                "DESTINATION_VALIDATION", f"longer than the server's max_allowed_packet, {session.packet} bytes"
            )
            continue

        def attempt(start: int, end: int, chunk: list[str] = chunk) -> Rejected | None:
            try:
                session.count(staged(fields, chunk[start:end]))
            except Refused as error:
                return Rejected(error.code, error.words)
            return None

        missing |= {first + place: reason for place, reason in refused(len(chunk), attempt).items()}
    return missing
