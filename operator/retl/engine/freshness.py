"""Whether the source has anything new: one value, that must be greater than it was at the last success.

Values are compared as what they are (numbers, times, dates, texts), and kept as text with their type. NULL is nothing
new. A value of another type than the one that is kept is new: they cannot be compared, and the query was changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import types as at

from retl.errors import InvalidInput
from retl.runspec.spec import Query
from retl.sources.base import UNREADABLE, Source

_FIELD = "schedule.freshness.sql"


@dataclass(frozen=True, slots=True)
class Value:
    """What the query found.

    Attributes:
        type: number, timestamp, timestamptz, date or text.
        text: the value; of a timestamp its microseconds since 1970, of a date its days.
    """

    type: str
    text: str

    def __str__(self) -> str:
        return f"{self.type}:{self.text}"

    @classmethod
    def read(cls, text: str) -> "Value":
        """What `str` wrote."""
        kind, _, value = text.partition(":")
        return cls(kind, value)

    def newer_than(self, kept: "Value | None") -> bool:
        """Whether it is greater than what was kept; anything is, than nothing."""
        if kept is None or kept.type != self.type:
            return True
        return bool(_ORDER[self.type](self.text) > _ORDER[self.type](kept.text))


_ORDER: dict[str, Callable[[str], Any]] = {
    "number": Decimal,
    "timestamp": int,
    "timestamptz": int,
    "date": int,
    "text": str.encode,
}


def ask(source: Source, sql: str) -> Value | None:
    """Run the query; None if it found NULL. Blocks.

    Raises:
        InvalidInput: it does not yield exactly one row and column, of a type that has an order.
        SourceError: it cannot be run.
    """
    with source.read(Query(sql=sql)) as reader:
        names = [name for name in reader.schema.names if not name.startswith(UNREADABLE)]
        if len(names) != 1:
            raise InvalidInput(f"{_FIELD}: it returns {len(names)} columns; select one value, such as max(loaded_at)")
        found: list[pa.Scalar] = []
        for batch in reader:
            found += batch.column(0).slice(0, 2)
            if len(found) > 1:
                raise InvalidInput(f"{_FIELD}: it returns several rows; select one value, such as max(loaded_at)")
        if not found:
            raise InvalidInput(f"{_FIELD}: it returns no row; select one value, such as max(loaded_at)")
        return _value(reader.schema.field(0), found[0])


def _value(field: pa.Field, found: pa.Scalar) -> Value | None:
    kind = _kind(field)
    if not found.is_valid:
        return None
    if kind == "date":
        return Value(kind, str(found.cast(pa.int32()).as_py()))
    if kind in ("timestamp", "timestamptz"):
        micros = found.cast(pa.timestamp("us", field.type.tz), safe=False)
        return Value(kind, str(micros.cast(pa.int64()).as_py()))
    value = found.as_py()
    if kind == "number":
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
        return None if number.is_nan() else Value(kind, str(number))
    return Value(kind, str(value))


def _kind(field: pa.Field) -> str:
    kind = field.type
    if isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric":
        return "number"
    if at.is_integer(kind) or at.is_floating(kind) or at.is_decimal(kind):
        return "number"
    if at.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if at.is_date(kind):
        return "date"
    if at.is_string(kind) or at.is_large_string(kind):
        return "text"
    raise InvalidInput(
        f"{_FIELD}: it returns {kind}; select a number, a timestamp, a date or a text, such as max(loaded_at)"
    )
