"""Which type a column has that is made for values of an Arrow type."""

import pyarrow as pa
from pyarrow import types as at


def type_of(kind: pa.DataType, _key: bool = False) -> str:
    """DuckDB's word for an Arrow type."""
    if at.is_list(kind):
        return f"{type_of(kind.value_type)}[]"
    if at.is_decimal128(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if at.is_timestamp(kind):
        return "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    return next((name for is_one, name in _NAMES if is_one(kind)), "VARCHAR")


_NAMES = (
    (at.is_boolean, "BOOLEAN"),
    (at.is_int8, "TINYINT"),
    (at.is_int16, "SMALLINT"),
    (at.is_int32, "INTEGER"),
    (at.is_int64, "BIGINT"),
    (at.is_float16, "FLOAT"),
    (at.is_float32, "FLOAT"),
    (at.is_float64, "DOUBLE"),
    (at.is_binary, "BLOB"),
    (at.is_date32, "DATE"),
    (at.is_time, "TIME"),
)
