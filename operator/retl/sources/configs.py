"""Settings and logins of the source connectors, as they stand in manifests and Secrets.

No driver is imported here.
"""

from typing import Self

from pydantic import Field, model_validator

from retl.postgresql import PostgresConnection, PostgresLogin
from retl.runspec.connectors import ConnectorConfig, ConnectorInfo


class PostgresConfig(PostgresConnection):
    """How to reach a PostgreSQL warehouse."""


class PostgresCredentials(PostgresLogin):
    """Login of a PostgreSQL warehouse; a role that may only read is enough."""


class DuckDBConfig(ConnectorConfig):
    """A DuckDB database file, or Parquet and CSV files, or both."""

    path: str | None = Field(default=None, min_length=1, description="A .duckdb file; opened read-only.")
    files: dict[str, str] = Field(
        default_factory=dict,
        description="Views over files, by name: accounts: data/accounts/*.parquet. Parquet, CSV and JSON are read.",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.path is None and not self.files:
            raise ValueError("set path to a .duckdb file, or files to Parquet or CSV files by name")
        return self


POSTGRES = ConnectorInfo(
    PostgresConfig,
    PostgresCredentials,
    "retl.sources.postgres:PostgresSource",
    example={"host": "db.example.com", "database": "warehouse"},
)
DUCKDB = ConnectorInfo(DuckDBConfig, None, "retl.sources.duckdb:DuckDBSource", example={"path": "warehouse.duckdb"})
