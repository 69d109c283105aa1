"""How one value becomes JSON text, plain text, or an Arrow column: the type rules of the data path.

Pure: an Arrow type and an SQL expression go in, an SQL expression for DuckDB comes out. JSON is written by these rules
and not by DuckDB's `to_json`, which turns large numbers into floating point and writes timestamps with a blank.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import types as at

from retl.resources.sync import Cast

NUMBER_TEXT = pa.opaque(pa.string(), "numeric", "retl")
"""A number kept exact as text, in the form that JSON writes it; the type of a text that was cast to `number`."""

_NOT_NUMBERS = "('nan', 'inf', '-inf')"
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_WHOLE_NUMBER = r"[+-]?[0-9]+(\.0*)?"
_JSON_STRING = r'"(\\.|[^"\\])*"'
_NOT_JSON = r",\s*[\]}]|[iI]|[nN][aA]"
"""What DuckDB takes for JSON beyond the standard: a comma before the closing bracket, Infinity, NaN. In no string."""


@dataclass(frozen=True, slots=True)
class Value:
    """An SQL expression and the Arrow type of what it yields."""

    type: pa.DataType
    sql: str


def json_text(value: Value) -> str:
    """SQL of the value as JSON text; NULL stays NULL.

    Numbers are exact, timestamps ISO 8601 (`Z` if they carry a zone), binary base64, nested types arrays and objects.
    What JSON does not have is a string: the numbers nan, inf and -inf, the times infinity and -infinity.
    """
    return _json(value.type, value.sql, depth=0)


def plain_text(value: Value) -> str:
    """SQL of the value as text, in the same notation as JSON but without quotes."""
    kind, sql = value.type, value.sql
    if at.is_binary(kind) or at.is_large_binary(kind) or at.is_fixed_size_binary(kind):
        return f"base64({sql})"
    if at.is_timestamp(kind):
        return _iso(kind, sql)
    if _is_nested(kind):
        return json_text(value)
    return _text(kind, sql)


def column(value: Value) -> Value:
    """The value for destinations that take columns: plain scalars and arrays of them, all else as text.

    Its type is that by which it becomes JSON, as the value itself would.
    """
    kind, sql = value.type, value.sql
    if is_list(kind):
        return _array(value)
    if at.is_timestamp(kind) and kind.unit != "ns":
        return Value(
            pa.timestamp("us", kind.tz and "UTC"), f"CAST({sql} AS {'TIMESTAMPTZ' if kind.tz else 'TIMESTAMP'})"
        )
    if at.is_unsigned_integer(kind) and kind.bit_width < 64:
        return Value(pa.int64(), f"CAST({sql} AS BIGINT)")
    if _is_plain(kind):
        return value
    texts = at.is_large_binary(kind) or at.is_fixed_size_binary(kind) or at.is_timestamp(kind)
    return Value(pa.json_() if _is_nested(kind) else pa.string() if texts else kind, plain_text(value))


def staged(value: Value) -> Value:
    """The value in a form that a Parquet file gives back as it was, for destinations that take JSON."""
    kind = value.type
    microseconds = at.is_timestamp(kind) and kind.unit != "ns"
    if _is_plain(kind) or microseconds or _is_uuid(kind) or _is_number_text(kind):
        return value
    if at.is_integer(kind):
        return value
    return Value(pa.json_(), json_text(value))


def injective(values: Iterable[Value]) -> str:
    """SQL arguments for concat() that make different texts of different values, whatever they are; NULL is a value.

    Numbers and times end at the comma behind them; everything else is led by its length.
    """
    parts = []
    for value in values:
        kind, text = value.type, plain_text(value)
        if at.is_timestamp(kind):
            parts.append(f"coalesce(CAST(epoch_us({value.sql}) AS VARCHAR), CAST({value.sql} AS VARCHAR)), ','")
        elif _is_boolean(kind) or _is_number(kind) or at.is_temporal(kind) or _is_uuid(kind):
            parts.append(f"{text}, ','")
        else:
            parts.append(f"strlen({text}), ':', {text}, ','")
    return ", ".join(parts)


def key_text(value: Value) -> Value:
    """The value as text that is the same for the same number, whatever type a column of it has: 1.50 is 1.5."""
    kind = value.type
    text = plain_text(value)
    if at.is_floating(kind) or at.is_decimal(kind) or _is_number_text(kind):
        text = rf"regexp_replace(regexp_replace({text}, '(\.[0-9]*?)0+$', '\1'), '\.$', '')"
    return Value(pa.string(), text)


def cast(value: Value, to: Cast) -> Value:
    """The value turned into another type; NULL where it cannot be."""
    return {
        "string": lambda: Value(pa.string(), plain_text(value)),
        "number": lambda: _number(value),
        "integer": lambda: _integer(value),
        "boolean": lambda: _boolean(value),
        "date": lambda: _date(value),
        "timestamp": lambda: _timestamp(value),
        "json": lambda: _parsed(value),
    }[to]()


def literal(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def is_json(kind: pa.DataType) -> bool:
    """Whether it is JSON text."""
    return isinstance(kind, pa.JsonType)


def is_list(kind: pa.DataType) -> bool:
    """Whether it is an array."""
    return bool(at.is_list(kind) or at.is_large_list(kind) or at.is_fixed_size_list(kind))


def _json(kind: pa.DataType, sql: str, depth: int) -> str:
    if is_json(kind) or _is_boolean(kind) or _is_exact_number(kind):
        return _text(kind, sql)
    if at.is_floating(kind):
        text = f"CAST({sql} AS VARCHAR)"
        return f"CASE WHEN isfinite({sql}) THEN {text} ELSE '\"' || {text} || '\"' END"
    if _is_number_text(kind):
        return f"CASE WHEN {sql} IN {_NOT_NUMBERS} THEN '\"' || {sql} || '\"' ELSE {sql} END"
    item = f"x{depth}"
    if is_list(kind):
        return _json_array(f"list_transform({sql}, lambda {item}: {_or_null(_json(kind.value_type, item, depth + 1))})")
    if at.is_struct(kind):
        members = (
            f"{literal(quoted(field.name) + ':')} || {_or_null(_json(field.type, _member(sql, field.name), depth + 1))}"
            for field in kind
        )
        body = ", ',', ".join(members)
        return f"CASE WHEN {sql} IS NOT NULL THEN concat('{{', {body}, '}}') END"
    if at.is_map(kind):
        key = plain_text(Value(kind.key_type, f"{item}.key"))
        member = _or_null(_json(kind.item_type, f"{item}.value", depth + 1))
        entry = f"CAST(to_json({key}) AS VARCHAR) || ':' || {member}"
        entries = f"list_transform(map_entries({sql}), lambda {item}: {entry})"
        return f"'{{' || array_to_string({entries}, ',') || '}}'"
    if at.is_date(kind) or at.is_time(kind) or at.is_timestamp(kind) or at.is_binary(kind) or _is_uuid(kind):
        return f"'\"' || {plain_text(Value(kind, sql))} || '\"'"  # nothing in these needs escaping
    return f"CAST(to_json({plain_text(Value(kind, sql))}) AS VARCHAR)"


def _text(kind: pa.DataType, sql: str) -> str:
    text = f"CAST({sql} AS VARCHAR)"
    if at.is_decimal(kind) and kind.precision == kind.scale:  # DuckDB writes .5
        return rf"regexp_replace({text}, '^(-?)\.', '\10.')"
    return text


def quoted(name: str) -> str:
    """A field's name as JSON."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _json_array(items: str) -> str:
    return f"'[' || array_to_string({items}, ',') || ']'"


def _or_null(sql: str) -> str:
    return f"coalesce({sql}, 'null')"


def _member(sql: str, name: str) -> str:
    return f"struct_extract({sql}, {literal(name)})"


def _iso(kind: pa.TimestampType, sql: str) -> str:
    """ISO 8601, but for times before the year 1, which it cannot write, and infinite ones."""
    text = f"CAST({f'make_timestamp(epoch_us({sql}))' if kind.tz else sql} AS VARCHAR)"
    iso = f"CASE WHEN contains({text}, '(') THEN {text} ELSE replace({text}, ' ', 'T') END"
    return f"coalesce({iso} || 'Z', CAST({sql} AS VARCHAR))" if kind.tz else f"({iso})"


def _array(value: Value) -> Value:
    inner = value.type.value_type
    if _is_number_text(inner):
        return Value(value.type, f"CAST({value.sql} AS VARCHAR[])")
    if _is_plain(inner) and not at.is_binary(inner):
        return value
    if at.is_timestamp(inner) or _is_uuid(inner):
        return Value(pa.list_(pa.string()), f"list_transform({value.sql}, lambda x: {plain_text(Value(inner, 'x'))})")
    return Value(pa.json_(), json_text(value))


def _number(value: Value) -> Value:
    kind, sql = value.type, value.sql
    if _is_exact_number(kind):
        return value
    if at.is_floating(kind):
        return Value(kind, f"CASE WHEN isfinite({sql}) THEN {sql} END")
    if _is_boolean(kind):
        return Value(pa.int32(), f"CAST({sql} AS INTEGER)")
    if _is_number_text(kind):
        return Value(NUMBER_TEXT, f"CASE WHEN {sql} NOT IN {_NOT_NUMBERS} THEN {sql} END")
    text = f"trim({plain_text(value)})"
    # JSON writes no sign +, no leading zeros, and digits on both sides of the point.
    canonical = rf"regexp_replace(ltrim({text}, '+'), '^(-?)0+([0-9])', '\1\2')"
    canonical = rf"regexp_replace({canonical}, '^(-?)\.', '\10.')"
    canonical = rf"regexp_replace({canonical}, '\.($|[eE])', '\1')"
    return Value(NUMBER_TEXT, f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN {canonical} END")


def _integer(value: Value) -> Value:
    kind, sql = value.type, value.sql
    if at.is_integer(kind) or _is_boolean(kind):
        return Value(pa.int64(), f"TRY_CAST({sql} AS BIGINT)")
    if at.is_floating(kind) or at.is_decimal(kind):
        return Value(pa.int64(), f"CASE WHEN {sql} = trunc({sql}) THEN TRY_CAST({sql} AS BIGINT) END")
    text = f"trim({plain_text(value)})"
    whole = f"TRY_CAST(split_part({text}, '.', 1) AS BIGINT)"
    return Value(pa.int64(), f"CASE WHEN regexp_full_match({text}, '{_WHOLE_NUMBER}') THEN {whole} END")


def _boolean(value: Value) -> Value:
    if _is_boolean(value.type):
        return value
    text = f"lower(trim({plain_text(value)}))"
    return Value(
        pa.bool_(),
        f"CASE WHEN {text} IN ('true', 't', 'yes', 'y', 'on', '1') THEN true "
        f"WHEN {text} IN ('false', 'f', 'no', 'n', 'off', '0') THEN false END",
    )


def _date(value: Value) -> Value:
    if at.is_timestamp(value.type) and value.type.tz:
        return Value(pa.date32(), f"TRY_CAST(timezone('UTC', {value.sql}) AS DATE)")
    if at.is_timestamp(value.type) or at.is_date(value.type):
        return Value(pa.date32(), f"TRY_CAST({value.sql} AS DATE)")
    return Value(pa.date32(), f"TRY_CAST({plain_text(value)} AS DATE)")


def _timestamp(value: Value) -> Value:
    if at.is_timestamp(value.type):
        return value
    if at.is_date(value.type):
        return Value(pa.timestamp("us"), f"TRY_CAST({value.sql} AS TIMESTAMP)")
    return Value(pa.timestamp("us", "UTC"), f"TRY_CAST({plain_text(value)} AS TIMESTAMPTZ)")


def _parsed(value: Value) -> Value:
    text = f"CAST({value.sql} AS VARCHAR)"
    standard = f"NOT regexp_matches(regexp_replace({text}, '{_JSON_STRING}', '\"\"', 'gs'), '{_NOT_JSON}')"
    if is_json(value.type):
        return Value(pa.json_(), f"CASE WHEN {standard} THEN {text} END")
    if at.is_string(value.type) or at.is_large_string(value.type):
        return Value(pa.json_(), f"CASE WHEN json_valid({text}) AND {standard} THEN {text} END")
    return Value(pa.json_(), json_text(value))


def _is_boolean(kind: pa.DataType) -> bool:
    return at.is_boolean(kind) or isinstance(kind, pa.Bool8Type)


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.UuidType)


def _is_number_text(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric"


def _is_exact_number(kind: pa.DataType) -> bool:
    huge = isinstance(kind, pa.OpaqueType) and kind.type_name in ("hugeint", "uhugeint", "bignum")
    return at.is_integer(kind) or at.is_decimal(kind) or huge


def _is_number(kind: pa.DataType) -> bool:
    return _is_exact_number(kind) or bool(at.is_floating(kind)) or _is_number_text(kind)


def _is_nested(kind: pa.DataType) -> bool:
    return is_list(kind) or bool(at.is_struct(kind) or at.is_map(kind))


def _is_plain(kind: pa.DataType) -> bool:
    return bool(
        _is_boolean(kind)
        or at.is_signed_integer(kind)
        or at.is_floating(kind)
        or at.is_decimal128(kind)
        or at.is_string(kind)
        or at.is_large_string(kind)
        or at.is_binary(kind)
        or at.is_date32(kind)
        or (at.is_time(kind) and kind.unit != "ns")
    )
