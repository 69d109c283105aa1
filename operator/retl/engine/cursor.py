"""Reading only what is new: where a run begins to read under a cursor, and where the next one will.

The watermark never passes a row that was not acknowledged, so a row that was refused, or never sent because the run was
stopped, is read again. What is read again and did not change is not sent again: the snapshot knows it.
"""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import types as at

from retl.engine.values import literal
from retl.errors import InvalidInput
from retl.resources.sync import ChangeDetection
from retl.runspec.spec import Window

PINNED = ("invalid", "repeated", "waiting", "doubtful")
"""Verdicts on rows that the destination does not have and that no delivery will settle."""


def window(detection: ChangeDetection, watermark: str | None) -> Window | None:
    """What to read; None to read all.

    Raises:
        InvalidInput: the lag does not go with the kind of value that the column has.
    """
    if detection.column is None or watermark is None:
        return None
    return Window(column=detection.column, since=_reach_back(watermark, detection.lag))


def check(detection: ChangeDetection, schema: pa.Schema) -> None:
    """Raise InvalidInput for a cursor column that the query does not return, or that has no order to rely on."""
    if detection.column is None:
        return
    if detection.column not in schema.names:
        raise InvalidInput(
            f"changeDetection.column: unknown column {detection.column!r}; the query returns: {', '.join(schema.names)}"
        )
    kind = schema.field(detection.column).type
    if not (at.is_integer(kind) or at.is_decimal(kind) or at.is_date(kind) or at.is_timestamp(kind)):
        raise InvalidInput(
            f"changeDetection.column: {detection.column!r} is {kind}; a cursor is a whole number, a decimal, a date or "
            "a timestamp: cast it in the query"
        )
    numeric = at.is_integer(kind) or at.is_decimal(kind)
    if detection.lag is not None and numeric == isinstance(detection.lag, timedelta):
        raise InvalidInput(f"changeDetection.lag: {detection.column!r} is {kind}; write {'1000' if numeric else '10m'}")


def watermark(stage: Path, changes: Path, refused: Any, database: duckdb.DuckDBPyConnection) -> str | None:
    """Where the next run begins; None if no row has a value. Blocks.

    Args:
        stage: the staged rows.
        changes: the verdicts on them.
        refused: smallest value of the rows that were refused in this run; None if there is none.
    """
    rows = f"read_parquet({literal(str(stage))}, file_row_number = true)"
    verdicts = ", ".join(map(literal, PINNED))
    found = database.sql(
        f"SELECT (SELECT min(s.cursor) FROM {rows} s JOIN read_parquet({literal(str(changes))}) c "
        f"ON c.n = s.file_row_number WHERE c.verdict IN ({verdicts})) AS pinned, "
        f"(SELECT max(cursor) FROM {rows}) AS last"
    ).to_arrow_table()
    (row,) = found.to_pylist()
    held = [value for value in (row["pinned"], refused) if value is not None]
    value = min(held) if held else row["last"]
    return None if value is None else text(value)


def text(value: Any) -> str:
    """A value of a cursor column as a literal that its source understands."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def _reach_back(watermark: str, lag: int | timedelta | None) -> str:
    if lag is None:
        return watermark
    if isinstance(lag, timedelta):
        try:
            day = date.fromisoformat(watermark) if len(watermark) == len("2026-01-31") else None
            moment = datetime.combine(day, time()) if day else datetime.fromisoformat(watermark)
            earlier = moment - lag
        except ValueError:
            raise InvalidInput(
                f"changeDetection.lag: the watermark is {watermark}; write a number, such as 1000"
            ) from None
        except OverflowError:
            return watermark
        return text(earlier.date() if day else earlier)
    try:
        return str(Decimal(watermark) - lag)
    except InvalidOperation:
        raise InvalidInput(f"changeDetection.lag: the watermark is {watermark}; write a time, such as 10m") from None
