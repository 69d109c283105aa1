"""Records as the bytes of a file: Parquet, CSV or JSON lines. Pure."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from pyarrow import types as at

from retl.destinations.base import Batch
from retl.destinations.objects.config import FilesConfig

CONTENT_TYPES = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv", "jsonl": "application/x-ndjson"}


def encoded(batch: Batch, config: FilesConfig) -> bytes:
    """The file of a batch."""
    if batch.payloads is not None:
        return _packed(_lines(batch.payloads), config)
    assert batch.table is not None
    if config.format == "parquet":
        return _parquet(batch.table, config)
    return _packed(_csv(batch.table, config), config)


def _lines(payloads: Sequence[bytes]) -> bytes:
    return b"".join(part for payload in payloads for part in (payload, b"\n"))


def _parquet(table: pa.Table, config: FilesConfig) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression=config.codec)
    return out.getvalue()


def _csv(table: pa.Table, config: FilesConfig) -> bytes:
    """RFC 4180, but lines end as on Unix; text stands in quotes, so an empty one is not a NULL."""
    flat = pa.table({name: _flat(table.column(name)) for name in table.column_names})
    out = io.BytesIO()
    options = pc.WriteOptions(include_header=config.header, delimiter=config.delimiter, quoting_style="needed")
    pc.write_csv(flat, out, options)
    return out.getvalue()


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as CSV can hold it: what has parts is JSON in one cell, bytes are base64."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    kind = column.type
    if at.is_string_view(kind):
        return column.cast(pa.string())
    if at.is_nested(kind):
        return _text(column, lambda value: orjson.dumps(value, default=_plain).decode())
    if at.is_binary(kind) or at.is_large_binary(kind) or at.is_fixed_size_binary(kind):
        return _text(column, lambda value: base64.b64encode(value).decode())
    if at.is_interval(kind) or at.is_duration(kind):
        return _text(column, str)
    return column


def _text(column: pa.ChunkedArray, form: Callable[[Any], str]) -> pa.ChunkedArray:
    values = [None if value is None else form(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, pa.string())])


def _plain(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _packed(data: bytes, config: FilesConfig) -> bytes:
    return data if config.codec == "none" else bytes(pa.compress(data, codec=config.codec, asbytes=True))
