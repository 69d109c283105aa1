"""The source connectors that come with the package."""

from retl.runspec.connectors import ConnectorInfo, Registry
from retl.sources.configs import DuckDBConfig, PostgresConfig, PostgresCredentials

SOURCES = Registry(
    side="source",
    builtin={
        "postgres": ConnectorInfo(PostgresConfig, PostgresCredentials, "retl.sources.postgres:PostgresSource"),
        "duckdb": ConnectorInfo(DuckDBConfig, None, "retl.sources.duckdb:DuckDBSource"),
    },
    group="retl.sources",
)
