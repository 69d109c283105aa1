"""SyncDestination: a connection to the tool that rows are written into."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from retl.resources.fields import ConnectorName, Credentials, Model
from retl.resources.meta import Resource
from retl.resources.source import ConnectionStatus


class SyncDestinationSpec(Model):
    """How to reach the destination."""

    connector: ConnectorName = Field(description="Name of the destination connector, for example http or postgres.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the connector; its own model says which there are."
    )
    credentials: Credentials | None = Field(default=None, description="The Secret that holds the login.")


class SyncDestination(Resource):
    """A destination connection."""

    plural: ClassVar[str] = "syncdestinations"
    singular: ClassVar[str] = "syncdestination"
    short_names: ClassVar[tuple[str, ...]] = ("retldest",)

    kind: Literal["SyncDestination"]
    spec: SyncDestinationSpec
    status: ConnectionStatus = ConnectionStatus()
