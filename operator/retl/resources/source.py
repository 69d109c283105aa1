"""SyncSource: a connection to a warehouse."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from retl.resources.conditions import Condition
from retl.resources.fields import ConnectorName, Credentials, Duration, Model, StatusModel, parse_duration
from retl.resources.meta import Resource


class SyncSourceSpec(Model):
    """How to reach the warehouse."""

    connector: ConnectorName = Field(description="Name of the source connector, for example postgres or duckdb.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the connector; its own model says which there are."
    )
    credentials: Credentials | None = Field(default=None, description="The Secret that holds the login.")
    check_interval: Duration = Field(
        default=parse_duration("6h"),
        description="How often a Job logs in and looks at what is there; once a minute at most.",
    )


class ActiveCheck(StatusModel):
    """A check that is under way; it is written down before its Job exists.

    Attributes:
        job_name: of the Job that logs in and looks.
        number: counts the checks of this object; the Job is named after it.
        asked: what the check answers: generation, request and row sets or objects, as one digest.
    """

    job_name: str
    number: int
    asked: str
    since: datetime


class LastCheck(StatusModel):
    """What the newest finished check found.

    Attributes:
        asked: see `ActiveCheck`.
        connector_version: of the connector's package.
        server: what the other end says of itself, such as PostgreSQL 18.1; empty if it says nothing.
        objects, fields: how many the catalog has.
        catalog: digest of the catalog in the state database; empty if there is none.
    """

    number: int
    asked: str
    succeeded: bool
    reason: str = ""
    message: str = Field(default="", max_length=2000)
    retriable: bool = False
    finished_at: datetime
    connector_version: str = ""
    server: str = Field(default="", max_length=255)
    objects: int = 0
    fields: int = 0
    catalog: str = ""


class ModelStatus(StatusModel):
    """What the controller knows of a model."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default_factory=list)


class ConnectionStatus(ModelStatus):
    """What the controller knows of a connection."""

    active_check: ActiveCheck | None = None
    last_check: LastCheck | None = None
    last_handled_check: str = Field(
        default="",
        max_length=255,
        description="Newest value of the annotation reverseetl.io/check-requested-at that a check answered.",
    )


class SyncSource(Resource):
    """A warehouse connection."""

    plural: ClassVar[str] = "syncsources"
    singular: ClassVar[str] = "syncsource"
    short_names: ClassVar[tuple[str, ...]] = ("retlsrc",)

    kind: Literal["SyncSource"]
    spec: SyncSourceSpec
    status: ConnectionStatus = ConnectionStatus()
