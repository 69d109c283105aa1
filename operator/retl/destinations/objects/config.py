"""Settings that all buckets share: what the files are, where they lie, and how much is in one."""

from string import Formatter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig

Format = Literal["parquet", "csv", "jsonl"]
Compression = Literal["none", "snappy", "gzip", "zstd"]

TIMES = {"date": "%Y-%m-%d", "hour": "%H"}
"""What a path may say of the moment at which a run began (UTC)."""
PLACE = frozenset({"endpoint", "prefix", "path"})
"""What says where files are, beside the name of the bucket."""
DELIMITER = r"^[\t !#-/:-@\[-`{-~]$"
"""A tab, a blank or a sign; the quote is around values, and letters and digits are in them."""
SEGMENTS = r"^([\w.=+@-]+(/[\w.=+@-]+)*)?$"


class FilesConfig(ConnectorConfig):
    """What files a bucket is given, whoever keeps it."""

    prefix: str = Field(default="", pattern=SEGMENTS, description="Folder of the bucket below which everything lies.")
    path: str = Field(
        default="{object}",
        description="Folder of a sync's files. It may say `{object}`, and in the mode append `{date}` and `{hour}`, at "
        "which the run began (UTC): `{object}/dt={date}`.",
    )
    format: Format = Field(default="parquet", description="Of the files: `jsonl` is one JSON object a line.")
    compression: Compression | None = Field(
        default=None, description="zstd for Parquet, and none for others, if not set; snappy is for Parquet alone."
    )
    delimiter: str = Field(default=",", pattern=DELIMITER, description="Between the values of a CSV file.")
    header: bool = Field(default=True, description="Whether a CSV file begins with the names of its columns.")
    max_records: int = Field(default=100_000, ge=1, le=5_000_000, description="Records in one file.")
    max_bytes: int = Field(
        default=64 * 2**20, ge=1, le=2**30, description="Bytes in one file, roughly, before it is compressed."
    )

    @field_validator("path")
    @classmethod
    def _known_places(cls, path: str) -> str:
        try:
            fields = [name for _, name, _, _ in Formatter().parse(path) if name is not None]
        except ValueError as error:
            raise ValueError(f"{error}; write {{object}}, {{date}} or {{hour}}") from None
        if unknown := [name for name in fields if name not in {"object", *TIMES}]:
            raise ValueError(f"there is no {{{unknown[0]}}}; write {{object}}, {{date}} or {{hour}}")
        return path

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.compression == "snappy" and self.format != "parquet":
            raise ValueError("compression: snappy is for Parquet alone; write gzip or zstd")
        return self

    @property
    def codec(self) -> Compression:
        """How files are compressed."""
        return self.compression or ("zstd" if self.format == "parquet" else "none")


def files_capabilities(config: FilesConfig) -> Capabilities:
    """What a bucket can do: files are added, or all of them replaced; no record in a file is ever changed.

    Records of one file are refused together or not at all. A file is named by the ids of its records, so the same batch
    is the same file; after a crash batches may be cut otherwise, so that to append is not repeatable.
    """
    return Capabilities(
        modes=frozenset({"append"}),
        default_batch=config.max_records,
        max_batch=config.max_records,
        max_bytes=config.max_bytes,
        payload="json" if config.format == "jsonl" else "arrow",
        declared={"replace": "mirror", "changes": "mirror"},
        repeatable=frozenset({"upsert", "delete"}),
        results="aggregate",
        every_row=frozenset({"replace"}),
    )
