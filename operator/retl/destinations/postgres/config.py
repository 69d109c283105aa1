"""Settings and login of the postgres connector, as they stand in manifests and Secrets."""

from typing import ClassVar

from pydantic import Field

from retl.postgresql import PostgresConnection, PostgresLogin
from retl.runspec.capabilities import STANDARD_MODES, Capabilities
from retl.runspec.connectors import ConnectorInfo


class PostgresDestinationConfig(PostgresConnection):
    """How to reach the PostgreSQL server that is written into."""

    place: ClassVar[frozenset[str]] = frozenset({"host", "port", "database"})

    create_table: bool = Field(
        default=False, description="Whether a sync that inserts makes its table when it is not there."
    )


class PostgresDestinationCredentials(PostgresLogin):
    """Login of a role that may SELECT, INSERT, UPDATE and DELETE, as the mode needs, and create temporary tables."""


def postgres_capabilities(config: PostgresDestinationConfig) -> Capabilities:
    """What a table can do."""
    return Capabilities(
        modes=frozenset(STANDARD_MODES),
        default_batch=20_000,
        max_batch=100_000,
        payload="arrow",
        only_if_empty=True,
        lookups=True,
        describes=True,
    )


CONNECTOR = ConnectorInfo(
    PostgresDestinationConfig,
    PostgresDestinationCredentials,
    "retl.destinations.postgres.connector:PostgresDestination",
    postgres_capabilities,
    example={"host": "db.example.com", "database": "crm"},
)
