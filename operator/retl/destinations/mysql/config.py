"""Settings and login of the mysql connector, as they stand in manifests and Secrets."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from retl.destinations.tables.config import CreateTable, table_capabilities
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo


class MysqlConfig(ConnectorConfig):
    """How to reach the MySQL or MariaDB server that is written into."""

    place: ClassVar[frozenset[str]] = frozenset({"host", "port", "database"})

    host: str = Field(min_length=1, description="Host name or address.")
    port: int = Field(default=3306, ge=1, le=65535, description="Where it listens.")
    database: str = Field(min_length=1, description="Where tables are that are named without a database.")
    ssl_mode: Literal["disabled", "preferred", "required", "verify-ca", "verify-identity"] = Field(
        default="preferred", description="As MySQL's clients have it; preferred and required do not look who answers."
    )
    ssl_ca: str | None = Field(
        default=None, description="Path of the certificate authority's file; the system's authorities if not set."
    )
    create_table: CreateTable = False


class MysqlCredentials(ConnectorCredentials):
    """Login of a user who may SELECT, INSERT, UPDATE and DELETE, as the mode needs, and create temporary tables."""

    username: SecretStr = Field(description="Name of the user.")
    password: SecretStr = Field(description="Password of the user.")


def mysql_capabilities(config: MysqlConfig) -> Capabilities:
    """What a table can do, in batches that suit the server."""
    return table_capabilities(10_000)


CONNECTOR = ConnectorInfo(
    MysqlConfig,
    MysqlCredentials,
    "retl.destinations.mysql.connector:Mysql",
    mysql_capabilities,
    example={"host": "db.example.com", "database": "crm"},
)
