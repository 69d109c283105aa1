"""The destination connectors that come with the package."""

from retl.destinations.configs import (
    HttpConfig,
    HttpCredentials,
    PostgresDestinationConfig,
    PostgresDestinationCredentials,
    http_capabilities,
    postgres_capabilities,
)
from retl.runspec.connectors import ConnectorInfo, Registry

DESTINATIONS = Registry(
    side="destination",
    builtin={
        "http": ConnectorInfo(HttpConfig, HttpCredentials, "retl.destinations.http:HttpDestination", http_capabilities),
        "postgres": ConnectorInfo(
            PostgresDestinationConfig,
            PostgresDestinationCredentials,
            "retl.destinations.postgres:PostgresDestination",
            postgres_capabilities,
        ),
    },
    group="retl.destinations",
)
