"""Which type a column has that is made for values of an Arrow type."""

import pyarrow as pa
from pyarrow import types as at


def type_of(kind: pa.DataType, _key: bool = False) -> str:
    """PostgreSQL's word for an Arrow type."""
    if at.is_list(kind):
        return f"{type_of(kind.value_type)}[]"
    if at.is_decimal128(kind):
        return f"numeric({kind.precision}, {kind.scale})"
    if at.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    return next((name for is_one, name in _NAMES if is_one(kind)), "text")


_NAMES = (
    (at.is_boolean, "boolean"),
    (at.is_int8, "smallint"),
    (at.is_int16, "smallint"),
    (at.is_int32, "integer"),
    (at.is_int64, "bigint"),
    (at.is_float16, "real"),
    (at.is_float32, "real"),
    (at.is_float64, "double precision"),
    (at.is_binary, "bytea"),
    (at.is_date32, "date"),
    (at.is_time, "time"),
)
