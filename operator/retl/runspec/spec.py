"""RunSpec: everything a runner must know, with secrets by reference only.

It travels as a pod annotation in a cluster and stays in memory locally; the runner never reads a custom resource.
"""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from retl.resources.destination import RateLimit
from retl.resources.fields import Model
from retl.resources.run import Replay, RunMode
from retl.resources.sync import AllColumns, ChangeDetection, DeadLetters, Delivery, Freshness, Guards, Mapping, Mode


class RunIdentity(Model):
    """Which execution this is."""

    name: str
    uid: str
    attempt: int = 1
    mode: RunMode = "Sync"
    full_refresh: bool = False
    tick: datetime | None = None
    replay: Replay | None = None
    approved_plan: str | None = Field(default=None, description="Hash of the plan that a person approved.")
    created_at: datetime | None = Field(default=None, description="When its SyncRun was made; None without a cluster.")
    triggered_by: UUID | None = Field(default=None, description="Who asked the API for it, as the API says it.")


class SyncIdentity(Model):
    """Which sync it belongs to. State is kept by uid."""

    namespace: str
    name: str
    uid: str
    generation: int = 1


class Connection(Model):
    """A source or destination: connector, settings, and the name of the Secret with its login."""

    name: str
    uid: str
    connector: str
    config: dict[str, Any] = Field(default_factory=dict)
    secret: str | None = None
    rate_limit: RateLimit | None = Field(default=None, description="Of a destination's account, over all runners.")


class Window(Model):
    """Of a row set, only the rows whose column is at least `since`, a literal of its type, or NULL."""

    column: str
    since: str


class Query(Model):
    """A row set: a SELECT statement or a table, and which part of it."""

    sql: str | None = None
    table: str | None = None
    window: Window | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.sql is None) == (self.table is None):
            raise ValueError("set exactly one of sql and table")
        return self


class RunSpec(Model):
    """One run, fully resolved."""

    run: RunIdentity
    sync: SyncIdentity
    source: Connection
    query: Query
    destination: Connection
    object: str
    mode: Mode
    primary_key: list[str]
    mappings: list[Mapping] = Field(default_factory=list)
    all_columns: AllColumns | None = None
    change_detection: ChangeDetection = ChangeDetection()
    delivery: Delivery = Delivery()
    guards: Guards = Guards()
    dead_letters: DeadLetters = DeadLetters()
    freshness: Freshness | None = Field(default=None, description="Of a run that answers a tick: what must be new.")
