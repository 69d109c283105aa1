"""ReverseETLSync: which rows go where, how, and when."""

from datetime import datetime
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from retl.resources.conditions import Condition
from retl.resources.fields import Column, Duration, Limit, Model, NameRef, StatusModel, parse_duration
from retl.resources.meta import Resource
from retl.resources.model import SQL_MAX
from retl.resources.run import RunCounts, RunPhase

Cast = Literal["string", "number", "integer", "boolean", "date", "timestamp", "json"]
Mode = Literal["upsert"]
SyncState = Literal["Active", "Paused", "Draft"]


class InlineQuery(Model):
    """A query written in the sync itself, for row sets that nothing else uses."""

    source_ref: NameRef = Field(description="The SyncSource to read from.")
    sql: str = Field(min_length=1, max_length=SQL_MAX, description="A SELECT statement.")


class Mapping(Model):
    """One destination field and where its value comes from."""

    destination: Column = Field(description="Field of the destination object.")
    source: Column | None = Field(default=None, description="Column of the query.")
    value: str | None = Field(default=None, max_length=4096, description="A constant; use cast for other types.")
    cast: Cast | None = Field(default=None, description="Type that the value is turned into before it is sent.")
    key: bool = Field(default=False, description="The destination identifies its record by this field.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.source is None) == (self.value is None):
            raise ValueError("set exactly one of source and value")
        return self


class Schedule(Model):
    """When the sync runs by itself."""

    cron: str = Field(min_length=1, max_length=255, description="Five fields: minute hour day month weekday.")
    time_zone: str = Field(default="UTC", min_length=1, max_length=64, description="IANA name, such as Europe/Vienna.")


class Delivery(Model):
    """How records travel."""

    batch_size: int | None = Field(
        default=None, ge=1, le=100_000, description="Records in one call; the connector's own default if not set."
    )
    max_in_flight: int = Field(default=4, ge=1, le=64, description="Calls under way at the same time.")
    max_attempts: int = Field(default=5, ge=1, le=20, description="Tries of one call before its records are given up.")
    timeout: Duration = Field(default=parse_duration("30s"), description="Longest wait for one call.")


class Guards(Model):
    """Limits that are checked before the first write."""

    max_changes: Limit | None = Field(
        default=None,
        description="Most records one run may write: a number, or a percentage of the records this sync wrote before.",
    )
    min_rows: int | None = Field(default=None, ge=0, description="Fewest rows the query must return.")
    on_breach: Literal["AwaitApproval", "Fail"] = Field(
        default="AwaitApproval", description="Hold the run for a person's approval, or fail it."
    )


class DeadLetters(Model):
    """What is kept of a record that could not be written."""

    store_payload: bool = Field(default=True, description="Keep the mapped record in the state database.")


class History(Model):
    """How many finished SyncRuns are kept."""

    successful: int = Field(default=10, ge=0, le=1000)
    failed: int = Field(default=10, ge=0, le=1000)


class Quantities(Model):
    """Compute resources in Kubernetes quantities: `500m`, `1Gi`."""

    cpu: str | None = Field(default=None, max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?m?$")
    memory: str | None = Field(default=None, max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|k|M|G)?$")


class RunnerResources(Model):
    """Requests and limits of the runner's container."""

    requests: Quantities = Quantities()
    limits: Quantities = Quantities()


class Runner(Model):
    """The Job that executes a run."""

    resources: RunnerResources = RunnerResources()
    timeout: Duration = Field(default=parse_duration("1h"), description="Longest duration of one attempt.")
    retries: int = Field(default=3, ge=0, le=20, description="Further attempts after a failed one.")


class ReverseETLSyncSpec(Model):
    """The whole intent of a sync."""

    display_name: str = Field(default="", max_length=255)
    description: str = Field(default="", max_length=4096)
    model_ref: NameRef | None = Field(default=None, description="The SyncModel to read.")
    query: InlineQuery | None = Field(default=None, description="Or a query of its own.")
    destination_ref: NameRef = Field(description="The SyncDestination to write to.")
    object: str = Field(min_length=1, max_length=255, description="Object, table or resource of the destination.")
    mode: Mode = Field(default="upsert", description="How records are written.")
    primary_key: list[Column] = Field(
        default_factory=list, max_length=16, description="Columns that identify a row; the model's if not set."
    )
    mappings: list[Mapping] = Field(min_length=1, max_length=500)
    schedule: Schedule | None = Field(default=None, description="Without one, the sync runs when a SyncRun is created.")
    state: SyncState = Field(
        default="Active",
        description="Active runs on schedule and on demand, Paused on demand only, Draft not at all.",
    )
    delivery: Delivery = Delivery()
    guards: Guards = Guards()
    dead_letters: DeadLetters = DeadLetters()
    history: History = History()
    runner: Runner = Runner()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.model_ref is None) == (self.query is None):
            raise ValueError("set exactly one of modelRef and query")
        if self.query is not None and not self.primary_key:
            raise ValueError("primaryKey is required with an inline query: name the columns that identify a row")
        seen: set[str] = set()
        for index, mapping in enumerate(self.mappings):
            if mapping.destination in seen:
                raise ValueError(f"mappings[{index}].destination: {mapping.destination!r} is mapped twice")
            seen.add(mapping.destination)
        if not any(m.key for m in self.mappings):
            raise ValueError("mark at least one mapping with key: true; the destination finds its record by it")
        return self


TickVerdict = Literal["Ran", "Skipped", "Missed"]


class TickRecord(StatusModel):
    """What became of one tick of the schedule."""

    at: datetime
    verdict: TickVerdict
    reason: str = Field(default="", max_length=255)


class ActiveRun(StatusModel):
    """The reservation: no other run of this sync starts while it stands."""

    name: str
    tick: datetime | None = None
    since: datetime


class LastRun(StatusModel):
    """The newest finished run."""

    name: str
    phase: RunPhase
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    counts: RunCounts | None = None


class SyncStatus(StatusModel):
    """What the controller knows of a sync. Written by the controller alone."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default_factory=list)
    active_run: ActiveRun | None = None
    last_run: LastRun | None = None
    last_success_time: datetime | None = None
    last_tick: datetime | None = Field(default=None, description="Newest tick that has a verdict.")
    next_run_time: datetime | None = None
    dead_letters: int = Field(default=0, description="Open dead letters after the last run.")
    recent_ticks: list[TickRecord] = Field(default_factory=list, max_length=20)


class ReverseETLSync(Resource):
    """A sync."""

    plural: ClassVar[str] = "reverseetlsyncs"
    singular: ClassVar[str] = "reverseetlsync"
    short_names: ClassVar[tuple[str, ...]] = ("retl",)

    kind: Literal["ReverseETLSync"]
    spec: ReverseETLSyncSpec
    status: SyncStatus = SyncStatus()
