"""Records as the literals of an INSERT statement, column by column in Arrow.

Pure. A value is written so that MySQL takes it exactly or refuses it: whether it fits a column, the server says.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as at

TIMES = ("datetime", "timestamp", "date", "time")
BINARIES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set")
NUMBERS = ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year")
_ISO = r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|\+00(?::?00)?)?$"


def records(table: pa.Table, kinds: Mapping[str, str], *, keys_as_text: bool = False) -> pa.Array:
    """Each record in brackets, its place before its values.

    Args:
        kinds: of the table's columns, by name: varchar, decimal, json …
        keys_as_text: values are texts as a mirror keeps its keys: times in ISO 8601, bytes in base64.
    """
    columns = [pa.array(range(table.num_rows), pa.int32()).cast(pa.large_string())]
    for name in table.schema.names:
        column = table.column(name)
        held = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        made = literals(held, kinds[name], keys_as_text=keys_as_text)
        columns.append(pc.fill_null(made.cast(pa.large_string()), "NULL"))
    return _wrapped("(", pc.binary_join_element_wise(*columns, _text(",")), ")")


def chunks(rows: pa.Array, most: int) -> Iterator[tuple[int, list[str]]]:
    """The records in order, some at a time, of at most so many bytes together; each time the first one's place.

    A record that is longer stands alone.
    """
    first, held = 0, 0
    for place, size in enumerate(pc.binary_length(rows).to_pylist()):
        if held and held + size > most:
            yield first, rows[first:place].to_pylist()
            first, held = place, 0
        held += size + 1
    if held:
        yield first, rows[first:].to_pylist()


def literals(column: pa.Array, kind: str, *, keys_as_text: bool = False) -> pa.Array:
    """The values of a column as literals for a column of that kind; NULL stays NULL."""
    held = column.type
    if at.is_string(held) or at.is_large_string(held):
        return _of_texts(column.cast(pa.large_string()), kind, keys_as_text=keys_as_text)
    if at.is_list(held):
        return _quoted(_each(_without_dates(column), json_text))
    if at.is_timestamp(held):
        return _strings(_timestamps(column, iso=kind in (*TEXTS, "json")), kind)
    if at.is_date32(held):
        return _strings(_finite(column, pa.int32(), 2**31 - 1, column.cast(pa.string())), kind)
    if at.is_time(held):
        return _strings(column.cast(pa.string()), kind)
    if kind == "json":
        return _quoted(_each(column, json_text))
    if at.is_binary(held):
        return _each(column, lambda value: f"x'{value.hex()}'")
    if at.is_boolean(held):
        return _quoted(column.cast(pa.string())) if kind in TEXTS else column.cast(pa.int8()).cast(pa.string())
    if at.is_integer(held):
        return column.cast(pa.string())
    if at.is_decimal(held):
        return _quoted(_decimals(column))
    return _quoted(column.cast(pa.string()))  # of floating numbers, the server refuses nan and inf


def json_text(value: Any) -> str:
    """A value as JSON; what JSON does not have is a text."""
    match value:
        case list():
            return f"[{','.join(map(json_text, value))}]"
        case Decimal():
            return format(value, "f")
        case float() if not isfinite(value):
            return f'"{value}"'
        case bytes():
            return f'"{b64encode(value).decode()}"'
        case datetime() | date() | time():
            return f'"{value.isoformat()}"'
        case timedelta():
            return f'"{_clock(value)}"'
        case _:
            return orjson.dumps(value).decode()


def _of_texts(texts: pa.Array, kind: str, *, keys_as_text: bool) -> pa.Array:
    if kind in TIMES:
        texts = pc.replace_substring_regex(texts, _ISO, r"\1 \2")
    quoted = _quoted(texts)
    if keys_as_text and kind in BINARIES:
        return _wrapped("FROM_BASE64(", quoted, ")")
    if keys_as_text and kind == "bit":
        return _wrapped("CAST(", quoted, " AS unsigned)")
    if keys_as_text and kind in NUMBERS:
        return pc.if_else(pc.equal(texts, "true"), _text("1"), pc.if_else(pc.equal(texts, "false"), _text("0"), quoted))
    return quoted


def _quoted(texts: pa.Array) -> pa.Array:
    escaped = pc.replace_substring(texts.cast(pa.large_string()), "\\", "\\\\")
    return _wrapped("'", pc.replace_substring(escaped, "'", "''"), "'")


def _strings(texts: pa.Array, kind: str) -> pa.Array:
    """Texts that need no escaping, as literals; JSON wants them in quotes of its own."""
    return _wrapped("'\"", texts, "\"'") if kind == "json" else _wrapped("'", texts, "'")


def _wrapped(before: str, texts: pa.Array, after: str) -> pa.Array:
    return pc.binary_join_element_wise(_text(before), texts.cast(pa.large_string()), _text(after), _text(""))


def _text(value: str) -> "pa.Scalar[Any]":
    return pa.scalar(value, pa.large_string())


def _decimals(column: pa.Array) -> pa.Array:
    texts = column.cast(pa.string())
    if pc.any(pc.match_substring(texts, "E")).as_py():  # Arrow writes small ones with an exponent
        return _each(column, lambda value: format(value, "f"))
    return texts


def _timestamps(column: pa.Array, *, iso: bool) -> pa.Array:
    texts = column.cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
    if iso:
        texts = pc.replace_substring(texts, " ", "T", max_replacements=1)
        texts = pc.binary_join_element_wise(texts, "Z" if column.type.tz else "", "")
    return _finite(column, pa.int64(), 2**63 - 1, texts)


def _finite(column: pa.Array, integer: pa.DataType, largest: int, texts: pa.Array) -> pa.Array:
    """The texts, but for infinite times, which DuckDB and Arrow write as the largest number and its negative."""
    numbers = column.cast(integer)
    texts = pc.if_else(pc.equal(numbers, largest), "infinity", texts)
    return pc.if_else(pc.equal(numbers, -largest), "-infinity", texts)


def _without_dates(column: pa.ListArray) -> pa.ListArray:
    """Lists of dates as lists of texts, because Python has no infinite dates."""
    if not at.is_date32(column.type.value_type):
        return column
    dates = column.values
    texts = _finite(dates, pa.int32(), 2**31 - 1, dates.cast(pa.string()))
    return pa.ListArray.from_arrays(column.offsets, texts, mask=column.is_null())


def _each(column: pa.Array, text: Callable[[Any], str]) -> pa.Array:
    return pa.array([None if value is None else text(value) for value in column.to_pylist()], pa.large_string())


def _clock(value: timedelta) -> str:
    """A TIME, as the server writes it."""
    seconds, fraction = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return ("-" if value < timedelta() else "") + text + (f".{fraction:06}" if fraction else "")
