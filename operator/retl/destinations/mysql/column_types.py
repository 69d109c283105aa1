"""Which type a column has that is made for values of an Arrow type."""

import pyarrow as pa
from pyarrow import types as at

TEXT_KEY = "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
"""Three of these fit into one index; values that differ in case only are different keys."""
MAX_SCALE = 30


def type_of(kind: pa.DataType, key: bool) -> str:
    """MySQL's word for an Arrow type."""
    if at.is_decimal128(kind) and kind.scale <= MAX_SCALE:
        return f"decimal({kind.precision}, {kind.scale})"
    if at.is_binary(kind):
        return "varbinary(255)" if key else "longblob"
    text = TEXT_KEY if key else "longtext CHARACTER SET utf8mb4"
    return next((name for is_one, name in _NAMES if is_one(kind)), text)


_NAMES = (
    (at.is_boolean, "boolean"),
    (at.is_int8, "tinyint"),
    (at.is_int16, "smallint"),
    (at.is_int32, "int"),
    (at.is_int64, "bigint"),
    (at.is_floating, "double"),
    (at.is_date32, "date"),
    (at.is_time, "time(6)"),
    (at.is_timestamp, "datetime(6)"),
    (at.is_list, "json"),
)
