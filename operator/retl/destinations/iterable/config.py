"""Settings and login of the iterable connector, as they stand in manifests and Secrets."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field, SecretStr

from retl.resources.destination import RateLimit
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo

ENVELOPE = 160
"""Bytes that a record takes in a call besides its own JSON, at most."""


class IterableConfig(ConnectorConfig):
    """A project of Iterable: its users, the members of its lists, items of its catalogs, and events."""

    place: ClassVar[frozenset[str]] = frozenset({"base_url"})

    base_url: str = Field(
        default="https://api.iterable.com",
        pattern=r"^https?://[^/?#\s]+/?$",
        description="Where the API is; https://api.eu.iterable.com for projects of the European data centre.",
    )
    create_new_fields: bool = Field(
        default=False,
        description="Whether fields may be written that users and events do not have yet. Iterable makes them then, of "
        "the type of the first value, and they cannot be deleted. Without it, they are refused before a run.",
    )
    merge_nested_objects: bool = Field(
        default=False, description="Whether the members of an object are merged with those there are, or replace them."
    )
    replace_items: bool = Field(
        default=False, description="Whether a catalog item loses the fields that the mappings do not have."
    )
    max_records: int = Field(default=1_000, ge=1, le=10_000, description="Most records that Iterable takes in a call.")
    max_bytes: int = Field(default=4_000_000, ge=100_000, description="Most bytes that Iterable takes in a call.")
    deletes_at_once: int = Field(
        default=20,
        ge=1,
        le=100,
        description="Users that are deleted at the same time: each takes a call, of which Iterable takes 100 a second.",
    )


class IterableCredentials(ConnectorCredentials):
    """An API key of the project."""

    api_key: SecretStr = Field(description="Of type server-side, without JWT.")


def iterable_capabilities(config: IterableConfig) -> Capabilities:
    """What Iterable can do. An event that carries an id replaces one with the same, so appends can be repeated, too."""
    return Capabilities(
        modes=frozenset({"upsert", "delete", "mirror", "append"}),
        default_batch=config.max_records,
        max_batch=config.max_records,
        max_bytes=max(config.max_bytes - ENVELOPE * config.max_records, config.max_bytes // 2),
        payload="json",
        repeatable=frozenset({"upsert", "delete", "append"}),
        describes=not config.create_new_fields,
        rate=RateLimit(requests=5, per=timedelta(seconds=1)),
    )


CONNECTOR = ConnectorInfo(
    IterableConfig, IterableCredentials, "retl.destinations.iterable.connector:Iterable", iterable_capabilities
)
