"""SyncSource: a connection to a warehouse."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from retl.resources.conditions import Condition
from retl.resources.fields import ConnectorName, Credentials, Model, StatusModel
from retl.resources.meta import Resource


class SyncSourceSpec(Model):
    """How to reach the warehouse."""

    connector: ConnectorName = Field(description="Name of the source connector, for example postgres or duckdb.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the connector; its own model says which there are."
    )
    credentials: Credentials | None = Field(default=None, description="The Secret that holds the login.")


class ConnectionStatus(StatusModel):
    """What the controller knows of a connection or a model."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default_factory=list)


class SyncSource(Resource):
    """A warehouse connection."""

    plural: ClassVar[str] = "syncsources"
    singular: ClassVar[str] = "syncsource"
    short_names: ClassVar[tuple[str, ...]] = ("retlsrc",)

    kind: Literal["SyncSource"]
    spec: SyncSourceSpec
    status: ConnectionStatus = ConnectionStatus()
