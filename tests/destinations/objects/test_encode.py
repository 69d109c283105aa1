"""What stands in files: what went in comes out again, in every format."""

import gzip
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from retl.destinations.base import Batch
from retl.destinations.objects.config import FilesConfig, files_capabilities
from retl.destinations.objects.encode import encoded

TABLE = pa.table(
    {
        "id": pa.array([1, 2, None], pa.int64()),
        "name": ['a "quoted",\nname', "", None],
        "price": [Decimal("1.50"), None, Decimal("-0.01")],
        "at": pa.array([datetime(2026, 3, 29, 1, 30, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
        "day": [date(2026, 1, 1), None, None],
        "tags": [["a", "b"], [], None],
        "raw": pa.array([b"\xff\x00", b"", None], pa.binary()),
    }
)


def settings(**given: Any) -> FilesConfig:
    return FilesConfig.model_validate(given)


@pytest.mark.parametrize("compression", [None, "none", "snappy", "gzip", "zstd"])
def test_parquet_holds_rows_and_types_as_they_are(compression: str | None) -> None:
    data = encoded(Batch(3, table=TABLE), settings(compression=compression))
    assert pq.read_table(io.BytesIO(data)).equals(TABLE)
    used = {"none": "UNCOMPRESSED", None: "ZSTD"}.get(compression, str(compression).upper())
    assert pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression == used


def test_csv_tells_an_empty_text_from_a_null_and_writes_what_has_parts_as_json() -> None:
    data = encoded(Batch(3, table=TABLE), settings(format="csv"))
    assert data.decode() == (
        '"id","name","price","at","day","tags","raw"\n'
        '1,"a ""quoted"",\nname",1.50,2026-03-29 01:30:00.000000Z,2026-01-01,"[""a"",""b""]","/wA="\n'
        '2,"",,,,"[]",""\n'
        ",,-0.01,,,,\n"
    )


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r", "；", "a", "7", "", ";;"])
def test_a_delimiter_that_no_csv_can_have_is_refused_before_a_run(delimiter: str) -> None:
    with pytest.raises(ValidationError, match="delimiter"):
        settings(format="csv", delimiter=delimiter)


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t", "^", "~"])
def test_a_delimiter_that_is_taken_can_be_written(delimiter: str) -> None:
    data = encoded(
        Batch(3, table=TABLE.select(["id"])), settings(format="csv", delimiter=delimiter, compression="none")
    )
    assert data.startswith(b'"id"\n')


def test_csv_may_have_another_delimiter_and_no_header() -> None:
    data = encoded(Batch(3, table=TABLE.select(["id", "name"])), settings(format="csv", delimiter="\t", header=False))
    assert data.splitlines()[-1] == b"\t"
    assert data.startswith(b"1\t")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"a": b"\xff", "b": [1]}], pa.struct({"a": pa.binary(), "b": pa.list_(pa.int32())})),
        pa.array([[("a", Decimal("1.5"))]], pa.map_(pa.string(), pa.decimal128(3, 1))),
        pa.array(["text"], pa.string_view()),
        pa.array([bytes(16)], pa.uuid()),
        pa.array([pa.MonthDayNano([1, 2, 3])]),
        pa.array([b"ab"], pa.binary(2)),
        pa.array([None], pa.null()),
    ],
    ids=lambda column: str(column.type),
)
def test_csv_can_hold_every_type_that_a_column_may_have(column: pa.Array) -> None:
    data = encoded(Batch(1, table=pa.table({"id": [7], "x": column})), settings(format="csv"))
    [row] = pc.read_csv(io.BytesIO(data)).to_pylist()
    assert row["id"] == 7


def test_json_lines_are_the_records_one_a_line() -> None:
    payloads = [b'{"id":1,"name":"a\\nb"}', b'{"id":2,"name":null}']
    data = encoded(Batch(2, payloads=payloads), settings(format="jsonl", compression="gzip"))
    lines = gzip.decompress(data).splitlines()
    assert [orjson.loads(line) for line in lines] == [{"id": 1, "name": "a\nb"}, {"id": 2, "name": None}]


def test_the_same_records_are_the_same_bytes() -> None:
    for given in ({}, {"format": "csv", "compression": "gzip"}):
        assert encoded(Batch(3, table=TABLE), settings(**given)) == encoded(Batch(3, table=TABLE), settings(**given))


def test_json_is_asked_of_the_engine_for_json_lines_and_columns_for_all_else() -> None:
    forms = {name: files_capabilities(settings(format=name)).payload for name in ("parquet", "csv", "jsonl")}
    assert forms == {"parquet": "arrow", "csv": "arrow", "jsonl": "json"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"format": "csv", "compression": "snappy"}, "snappy is for Parquet alone"),
        ({"path": "{object}/{minute}"}, "no {minute}"),
        ({"path": "{object"}, "write {object}"),
        ({"prefix": "/up"}, "pattern"),
        ({"format": "avro"}, "parquet"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_what_can(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**given)
