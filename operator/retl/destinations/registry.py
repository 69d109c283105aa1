"""The destination connectors that come with the package."""

from retl.destinations.configs import (
    HttpConfig,
    HttpCredentials,
    PostgresDestinationConfig,
    PostgresDestinationCredentials,
)
from retl.runspec.connectors import ConnectorInfo, Registry

DESTINATIONS = Registry(
    side="destination",
    builtin={
        "http": ConnectorInfo(HttpConfig, HttpCredentials, "retl.destinations.http:HttpDestination"),
        "postgres": ConnectorInfo(
            PostgresDestinationConfig,
            PostgresDestinationCredentials,
            "retl.destinations.postgres:PostgresDestination",
        ),
    },
    group="retl.destinations",
)
