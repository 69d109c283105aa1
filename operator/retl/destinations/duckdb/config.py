"""Settings of the duckdb destination, as they stand in manifests."""

from typing import ClassVar

from pydantic import Field, field_validator

from retl.destinations.tables.config import CreateTable, table_capabilities
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorInfo


class DuckDBDestinationConfig(ConnectorConfig):
    """A DuckDB database file that the runner writes into."""

    place: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str = Field(min_length=1, description="A .duckdb file; it is made if it is not there.")
    memory_limit: str = Field(
        default="1GB", pattern=r"^\d+(\.\d+)?[KMGT]i?B$", description="Most memory that DuckDB takes for writing."
    )
    create_table: CreateTable = False

    @field_validator("path")
    @classmethod
    def _file(cls, path: str) -> str:
        if ":" in path:
            raise ValueError("is a file's path; databases in memory or elsewhere cannot be written")
        return path


def duckdb_capabilities(config: DuckDBDestinationConfig) -> Capabilities:
    """What a table can do, in batches that suit the server."""
    return table_capabilities(50_000)


CONNECTOR = ConnectorInfo(
    DuckDBDestinationConfig,
    None,
    "retl.destinations.duckdb.connector:DuckDBDestination",
    duckdb_capabilities,
    example={"path": "crm.duckdb"},
)
