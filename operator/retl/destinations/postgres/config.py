"""Settings and login of the postgres connector, as they stand in manifests and Secrets."""

from typing import ClassVar

from retl.destinations.tables.config import CreateTable, table_capabilities
from retl.postgresql import PostgresConnection, PostgresLogin
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorInfo


class PostgresDestinationConfig(PostgresConnection):
    """How to reach the PostgreSQL server that is written into."""

    place: ClassVar[frozenset[str]] = frozenset({"host", "port", "database"})

    create_table: CreateTable = False


class PostgresDestinationCredentials(PostgresLogin):
    """Login of a role that may SELECT, INSERT, UPDATE and DELETE, as the mode needs, and create temporary tables."""


def postgres_capabilities(config: PostgresDestinationConfig) -> Capabilities:
    """What a table can do, in batches that suit the server."""
    return table_capabilities(20_000)


CONNECTOR = ConnectorInfo(
    PostgresDestinationConfig,
    PostgresDestinationCredentials,
    "retl.destinations.postgres.connector:PostgresDestination",
    postgres_capabilities,
    example={"host": "db.example.com", "database": "crm"},
)
