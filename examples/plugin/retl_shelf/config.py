"""Settings and login, as they stand in manifests and Secrets. No driver is imported here."""

from typing import ClassVar

from pydantic import Field, SecretStr

from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo


class ShelfConfig(ConnectorConfig):
    """Where the shelf is."""

    place: ClassVar[frozenset[str]] = frozenset({"base_url"})
    base_url: str = Field(description="Without a path, such as https://shelf.example.com.")


class ShelfCredentials(ConnectorCredentials):
    """A key of the API."""

    api_key: SecretStr = Field(description="Is sent as X-Api-Key.")


def capabilities(config: ShelfConfig) -> Capabilities:
    """What a shelf can do: put and remove, up to 50 at once."""
    return Capabilities(frozenset({"upsert", "delete", "mirror"}), default_batch=50, max_batch=50, payload="json")


CONNECTOR = ConnectorInfo(
    ShelfConfig,
    ShelfCredentials,
    "retl_shelf.connector:Shelf",
    capabilities,
    example={"baseUrl": "https://shelf.example.com"},
)
