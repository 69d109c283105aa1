"""SyncDestination: a connection to the tool that rows are written into."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from retl.resources.fields import ConnectorName, Credentials, Duration, Model, Number, StatusModel, parse_duration
from retl.resources.meta import Resource
from retl.resources.source import ConnectionStatus


class RateLimit(Model):
    """What all syncs into this destination may send together."""

    requests: Number = Field(ge=1, le=1_000_000, description="Calls in each period.")
    per: Duration = Field(default=parse_duration("1s"), description="The period.")


class SyncDestinationSpec(Model):
    """How to reach the destination."""

    connector: ConnectorName = Field(description="Name of the destination connector, for example http or postgres.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the connector; its own model says which there are."
    )
    credentials: Credentials | None = Field(default=None, description="The Secret that holds the login.")
    rate_limit: RateLimit | None = Field(
        default=None,
        description="Calls that the account allows, over all runners; the limit that its vendor documents if not set.",
    )
    max_concurrent_runs: Number | None = Field(
        default=None, ge=1, le=50, description="Most runs into this destination at the same time; others wait in line."
    )
    check_interval: Duration = Field(
        default=parse_duration("6h"),
        description="How often a Job logs in and looks at what is there; once a minute at most.",
    )


class Slot(StatusModel):
    """A run that may be under way now."""

    run: str
    uid: str
    since: datetime


class DestinationStatus(ConnectionStatus):
    """What the controller knows of a destination."""

    slots: list[Slot] = Field(
        default_factory=list, max_length=50, description="Runs that maxConcurrentRuns lets go on, oldest first."
    )


class SyncDestination(Resource):
    """A destination connection."""

    plural: ClassVar[str] = "syncdestinations"
    singular: ClassVar[str] = "syncdestination"
    short_names: ClassVar[tuple[str, ...]] = ("retldest",)

    kind: Literal["SyncDestination"]
    spec: SyncDestinationSpec
    status: DestinationStatus = DestinationStatus()
