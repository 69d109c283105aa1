"""ReverseETLSync: which rows go where, how, and when."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from retl.resources.conditions import Condition
from retl.resources.fields import (
    Bytes,
    Column,
    Cores,
    Duration,
    Flag,
    Lag,
    Limit,
    Model,
    Moment,
    NameRef,
    Number,
    StatusModel,
    parse_duration,
)
from retl.resources.meta import Resource
from retl.resources.model import SQL_MAX
from retl.resources.names import SYNC_NAME_MAX
from retl.resources.rules import Matches, Rule, rules
from retl.resources.run import RunCounts, RunPhase

Cast = Literal["string", "number", "integer", "boolean", "date", "timestamp", "json"]
Mode = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Matches(
        "[a-z][a-zA-Z0-9_-]*",
        "a mode is upsert, insert, update, delete, mirror, append, or one that the destination's connector declares",
    ),
]
Metadata = Literal["RunId", "RunName", "RunTime", "Tick", "Sync"]
"""What a run can say of itself: its uid, its name, the moment it began, the tick that it answers, the sync's name."""
Normalization = Literal["None", "Trim", "Lowercase", "Email", "Phone", "Digits"]
SyncState = Literal["Active", "Paused", "Draft"]


ONE_ORIGIN = Rule(
    "[has(self.source), has(self.expression), has(self.value), has(self.metadata)].filter(x, x).size() == 1",
    "set exactly one of source, expression, value and metadata",
)
CURSOR_COLUMN = Rule(
    "(has(self.strategy) && self.strategy == 'Cursor') == has(self.column)",
    "strategy Cursor needs column, and the others take none",
)
LAG_OF_CURSOR = Rule("!has(self.lag) || has(self.column)", "lag belongs to strategy Cursor")
MIRROR_READS_ALL = Rule(
    "!has(self.mode) || self.mode != 'mirror' || !has(self.changeDetection) || !has(self.changeDetection.strategy)"
    " || self.changeDetection.strategy != 'Cursor'",
    "mode mirror must read every row to know which are gone; use changeDetection Snapshot",
)
MAPS_SOMETHING = Rule(
    "has(self.allColumns) || (has(self.mappings) && size(self.mappings) > 0)", "set mappings, or allColumns, or both"
)
ONE_ROW_SET = Rule("has(self.modelRef) != has(self.query)", "set exactly one of modelRef and query")
KEY_OF_QUERY = Rule(
    "!has(self.query) || (has(self.primaryKey) && size(self.primaryKey) > 0)",
    "primaryKey is required with an inline query: name the columns that identify a row",
)
KEY_MAPPED = Rule(
    "has(self.allColumns) || (has(self.mode) && self.mode == 'append')"
    " || (has(self.mappings) && self.mappings.exists(m, has(m.key) && m.key))",
    "mark at least one mapping with key: true; the destination finds its record by it",
)
AFTER = "@after"
"""In the place of a cron expression: the sync runs after those it depends on, and at no other time."""
CRON_FORM = Matches(
    r"@(hourly|daily|midnight|weekly|monthly|yearly|annually|after)|[ \t]*[^ \t@]+([ \t]+[^ \t@]+){4}[ \t]*",
    "write five fields (minute, hour, day of month, month, day of week), for example 15 */4 * * *, "
    "or @hourly, @daily, @weekly, @monthly, @yearly, or @after",
)
BLACKOUT_CRON_FORM = Matches(
    r"@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[ \t]*[^ \t@]+([ \t]+[^ \t@]+){4}[ \t]*",
    "write five fields (minute, hour, day of month, month, day of week), for example 0 22 * * fri",
)
ONE_BLACKOUT = Rule(
    "has(self.cron) ? has(self.duration) && !has(self.start) && !has(self.end)"
    " : !has(self.duration) && has(self.start) && has(self.end) && timestamp(self.start) < timestamp(self.end)",
    "set cron and duration, or start and a later end",
)
AFTER_WHAT = Rule(
    "self.cron != '@after' || (has(self.dependsOn) && size(self.dependsOn) > 0)",
    "cron @after runs after other syncs: name them in dependsOn",
)
CATCH_UP_MAX = Rule(
    "!has(self.catchUpMax) || (has(self.catchUp) && self.catchUp == 'All')", "catchUpMax belongs to catchUp All"
)


class InlineQuery(Model):
    """A query written in the sync itself, for row sets that nothing else uses."""

    source_ref: NameRef = Field(description="The SyncSource to read from.")
    sql: str = Field(min_length=1, max_length=SQL_MAX, description="A SELECT statement.")


class Lookup(Model):
    """A value that is looked up among the destination's own records."""

    object: str = Field(min_length=1, max_length=255, description="Object of the destination to search.")
    match_field: Column = Field(description="Field that must equal the mapping's value.")
    return_field: Column = Field(description="Field whose value is written.")
    on_miss: Literal["Skip", "Fail", "Null"] = Field(
        default="Fail", description="No such record: leave the row out, refuse it, or write null."
    )


class Hash(Model):
    """A value that leaves only as its hash, as ad platforms ask for."""

    algorithm: Literal["SHA256"] = Field(default="SHA256", description="Written in lower-case hexadecimal digits.")
    normalize: Normalization = Field(
        default="None",
        description="Done before hashing: Trim; Trim and Lowercase; the same for Email; Phone as + and digits; Digits.",
    )


class Mapping(Model):
    """One destination field and where its value comes from."""

    model_config = ConfigDict(json_schema_extra=rules(ONE_ORIGIN))

    destination: Column = Field(
        description="Field of the destination object; where it takes JSON, a path such as address.city or tags[0]."
    )
    source: Column | None = Field(default=None, description="Column of the query.")
    expression: str | None = Field(
        default=None, min_length=1, max_length=4096, description="Scalar SQL over columns, such as upper(country)."
    )
    value: str | None = Field(default=None, max_length=4096, description="A constant; use cast for other types.")
    metadata: Metadata | None = Field(default=None, description="What the run says of itself; does not make a change.")
    cast: Cast | None = Field(default=None, description="Type that the value is turned into before it is sent.")
    key: Flag = Field(default=False, description="The destination identifies its record by this field.")
    skip_nulls: Flag = Field(default=False, description="Leave the field out where the value is null.")
    only_if_empty: Flag = Field(default=False, description="Write only where the destination has no value yet.")
    hash: Hash | None = Field(default=None, description="Send the hash instead of the value.")
    lookup: Lookup | None = Field(default=None, description="Send what the destination holds for the value.")
    sensitive: Flag = Field(default=False, description="Never show the value in messages, samples and dead letters.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = (self.source, self.expression, self.value, self.metadata)
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError(ONE_ORIGIN.message)
        return self


class AllColumns(Model):
    """Every column of the query goes to the field of its name, apart from those that a mapping uses or names."""

    exclude: list[Column] = Field(default_factory=list, max_length=500, description="Columns to leave out.")


class ChangeDetection(Model):
    """How a run knows which rows to send."""

    model_config = ConfigDict(json_schema_extra=rules(CURSOR_COLUMN, LAG_OF_CURSOR))

    strategy: Literal["Snapshot", "Cursor", "None"] = Field(
        default="Snapshot",
        description="Snapshot reads all rows and sends those that differ from what was sent before; Cursor reads only "
        "rows from its watermark on, and sends those that differ; None sends every row.",
    )
    column: Column | None = Field(default=None, description="Column that grows with each change, for Cursor.")
    lag: Lag | None = Field(default=None, description="How far before the watermark to read, for rows that come late.")

    @model_validator(mode="after")
    def _cursor(self) -> Self:
        if (self.strategy == "Cursor") != (self.column is not None):
            raise ValueError(CURSOR_COLUMN.message)
        if self.lag is not None and self.column is None:
            raise ValueError(LAG_OF_CURSOR.message)
        return self


class Blackout(Model):
    """A time in which no tick starts a run: again and again (cron, duration), or once (start, end)."""

    model_config = ConfigDict(json_schema_extra=rules(ONE_BLACKOUT))

    cron: Annotated[str, BLACKOUT_CRON_FORM] | None = Field(
        default=None, min_length=1, max_length=255, description="When it begins, in the schedule's time zone."
    )
    duration: Duration | None = Field(default=None, description="How long it lasts each time.")
    start: Moment | None = Field(default=None, description="Its first moment, with zone.")
    end: Moment | None = Field(default=None, description="The first moment after it, with zone.")
    reason: str = Field(default="", max_length=100, description="What people are told of a tick that it skips.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        once = self.start is not None and self.end is not None and self.start < self.end
        again = self.cron is not None and self.duration is not None
        if once == again or (again and (self.start or self.end)) or (once and (self.cron or self.duration)):
            raise ValueError(ONE_BLACKOUT.message)
        return self


class Dependency(Model):
    """Another sync that must have succeeded first."""

    sync_ref: NameRef = Field(description="The ReverseETLSync, in the same namespace.")
    max_age: Duration | None = Field(
        default=None,
        description="Its last success may be no older than this; without it, its last run must have succeeded.",
    )
    on_failure: Literal["Skip", "Wait"] = Field(
        default="Skip",
        description="Where that does not hold when a tick is due: skip the tick, or wait until it does.",
    )


class Freshness(Model):
    """Runs only when the source has something new."""

    sql: str = Field(
        min_length=1,
        max_length=4096,
        description="A SELECT of one value, such as max(loaded_at); it must be greater than at the last success.",
    )


class Schedule(Model):
    """When the sync runs by itself."""

    model_config = ConfigDict(json_schema_extra=rules(AFTER_WHAT, CATCH_UP_MAX))

    cron: Annotated[str, CRON_FORM] = Field(
        min_length=1,
        max_length=255,
        description="Five fields: minute, hour, day of month, month, day of week; or @hourly and the like; "
        "or @after, which runs after each success of what dependsOn names.",
    )
    time_zone: str = Field(default="UTC", min_length=1, max_length=64, description="IANA name, such as Europe/Vienna.")
    starting_deadline: Duration | None = Field(
        default=None, description="A tick that could not start within this time is given up as Missed."
    )
    catch_up: Literal["None", "Latest", "All"] = Field(
        default="Latest",
        description="Of ticks that were not answered in time, run none, the newest, or one after the other.",
    )
    catch_up_max: Number | None = Field(
        default=None, ge=1, le=20, description="Most ticks that catchUp All runs late, the newest; 20 if not set."
    )
    jitter: Duration | None = Field(
        default=None, description="Start up to this much after the tick, always the same for one sync."
    )
    blackouts: list[Blackout] = Field(default_factory=list, max_length=20, description="When no tick starts a run.")
    depends_on: list[Dependency] = Field(
        default_factory=list, max_length=20, description="Syncs that must have succeeded first."
    )
    freshness: Freshness | None = Field(default=None, description="What must be new at the source.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cron == AFTER and not self.depends_on:
            raise ValueError(AFTER_WHAT.message)
        if self.catch_up_max is not None and self.catch_up != "All":
            raise ValueError(CATCH_UP_MAX.message)
        return self


class Canary(Model):
    """A few records first."""

    records: Number = Field(default=10, ge=1, le=10_000, description="How many are sent before all others.")
    max_errors: Number = Field(default=0, ge=0, description="More refused than this, and the run stops.")


class Delivery(Model):
    """How records travel."""

    batch_size: Number | None = Field(
        default=None, ge=1, le=100_000, description="Records in one call; the connector's own default if not set."
    )
    max_in_flight: Number = Field(default=4, ge=1, le=64, description="Calls under way at the same time.")
    max_attempts: Number = Field(
        default=5, ge=1, le=20, description="Tries of one call before its records are given up."
    )
    timeout: Duration = Field(default=parse_duration("30s"), description="Longest wait for one call.")
    on_unknown: Literal["Resend", "Hold", "Accept"] = Field(
        default="Resend",
        description="A record that may or may not have been written: send it again with the next run, hold it as a "
        "dead letter until a person decides, or take it as written.",
    )
    canary: Canary | None = Field(default=None, description="Try a few records before all others.")


class Guards(Model):
    """Limits that are checked before the first write."""

    max_creates: Limit | None = Field(
        default=None, description="Most records one run may create: a number, or a percentage of those written before."
    )
    max_changes: Limit | None = Field(
        default=None, description="Most records one run may create or update; a number or a percentage."
    )
    max_deletes: Limit | None = Field(
        default=None, description="Most records one run may delete; 10% in mode mirror if not set."
    )
    min_rows: Number | None = Field(
        default=None, ge=0, description="Fewest rows the query must return; 1 in mode mirror if not set."
    )
    max_rejected: Limit | None = Field(
        default=None,
        description="The run stops when more records are refused: a number, or a percentage of those sent.",
    )
    on_breach: Literal["AwaitApproval", "Fail"] = Field(
        default="AwaitApproval", description="Hold the run for a person's approval, or fail it."
    )


class DeadLetters(Model):
    """What is kept of a record that could not be written."""

    store_payload: Flag = Field(default=True, description="Keep the mapped record in the state database.")
    retention: Duration = Field(
        default=parse_duration("30d"), description="How long entries that are resolved can be looked at."
    )
    max_entries: Number = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Most open entries; what comes on top is counted, not kept, and sent again by the next run.",
    )


class History(Model):
    """How many finished SyncRuns are kept."""

    successful: Number = Field(default=10, ge=0, le=1000, description="How many that succeeded.")
    failed: Number = Field(default=10, ge=0, le=1000, description="How many that failed or were cancelled.")


class Quantities(Model):
    """Compute resources in Kubernetes quantities: `500m`, `1Gi`."""

    cpu: Cores | None = Field(default=None, description="Cores: 2, or 500m.")
    memory: Bytes | None = Field(default=None, description="Bytes: 512Mi, 1Gi.")


class RunnerResources(Model):
    """Requests and limits of the runner's container."""

    requests: Quantities = Field(default=Quantities(), description="What the scheduler sets aside.")
    limits: Quantities = Field(default=Quantities(), description="What the container may not exceed.")


class Runner(Model):
    """The Job that executes a run."""

    resources: RunnerResources = Field(default=RunnerResources(), description="Compute resources of the container.")
    timeout: Duration = Field(default=parse_duration("1h"), description="Longest duration of one attempt.")
    retries: Number = Field(default=3, ge=0, le=20, description="Further attempts after a failed one.")


class ReverseETLSyncSpec(Model):
    """The whole intent of a sync."""

    model_config = ConfigDict(
        json_schema_extra=rules(ONE_ROW_SET, KEY_OF_QUERY, MAPS_SOMETHING, KEY_MAPPED, MIRROR_READS_ALL)
    )

    display_name: str = Field(default="", max_length=255, description="Name for people.")
    description: str = Field(default="", max_length=4096, description="What the sync is for.")
    model_ref: NameRef | None = Field(default=None, description="The SyncModel to read.")
    query: InlineQuery | None = Field(default=None, description="Or a query of its own.")
    destination_ref: NameRef = Field(description="The SyncDestination to write to.")
    object: str = Field(min_length=1, max_length=255, description="Object, table or resource of the destination.")
    mode: Mode = Field(default="upsert", description="How records are written.")
    primary_key: list[Column] = Field(
        default_factory=list, max_length=16, description="Columns that identify a row; the model's if not set."
    )
    mappings: list[Mapping] = Field(
        default_factory=list,
        max_length=500,
        description="The destination's fields, each with where its value comes from.",
    )
    all_columns: AllColumns | None = Field(
        default=None, description="Map all other columns by their names; the primary key is the key if no mapping is."
    )
    schedule: Schedule | None = Field(default=None, description="Without one, the sync runs when a SyncRun is created.")
    state: SyncState = Field(
        default="Active",
        description="Active runs on schedule and on demand, Paused on demand only, Draft not at all.",
    )
    change_detection: ChangeDetection = ChangeDetection()
    delivery: Delivery = Delivery()
    guards: Guards = Guards()
    dead_letters: DeadLetters = DeadLetters()
    history: History = History()
    runner: Runner = Runner()

    @field_validator("mappings", mode="after")
    @classmethod
    def _each_destination_once(cls, mappings: list[Mapping]) -> list[Mapping]:
        seen: set[str] = set()
        twice: list[InitErrorDetails] = []
        for index, mapping in enumerate(mappings):
            if mapping.destination in seen:
                error = PydanticCustomError("mapped_twice", "{field} is mapped twice", {"field": mapping.destination})
                twice.append({"type": error, "loc": (index, "destination"), "input": mapping.destination})
            seen.add(mapping.destination)
        if twice:
            raise ValidationError.from_exception_data("mappings", twice)
        return mappings

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.model_ref is None) == (self.query is None):
            raise ValueError(ONE_ROW_SET.message)
        if self.query is not None and not self.primary_key:
            raise ValueError(KEY_OF_QUERY.message)
        if not self.mappings and self.all_columns is None:
            raise ValueError(MAPS_SOMETHING.message)
        if self.all_columns is None and self.mode != "append" and not any(m.key for m in self.mappings):
            raise ValueError(KEY_MAPPED.message)
        if self.mode == "mirror" and self.change_detection.strategy == "Cursor":
            raise ValueError(MIRROR_READS_ALL.message)
        return self


TickVerdict = Literal["Ran", "Skipped", "Missed"]


class TickRecord(StatusModel):
    """What became of one tick of the schedule."""

    at: AwareDatetime
    verdict: TickVerdict
    reason: str = Field(default="", max_length=255, description="One CamelCase word; empty for a run that succeeded.")
    message: str = Field(default="", max_length=256)


class WaitingTick(StatusModel):
    """A tick that is due and may not start yet."""

    at: AwareDatetime
    reason: str
    message: str = Field(default="", max_length=1024)


class ActiveRun(StatusModel):
    """The reservation: no other run of this sync starts while it stands."""

    name: str
    tick: AwareDatetime | None = None
    since: AwareDatetime


class LastRun(StatusModel):
    """The newest finished run."""

    name: str
    uid: str = Field(default="", description="Empty for a run that was deleted before it had ended.")
    phase: RunPhase
    reason: str = ""
    message: str = ""
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    counts: RunCounts | None = None


class SyncStatus(StatusModel):
    """What the controller knows of a sync. Written by the controller alone."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default_factory=list)
    active_run: ActiveRun | None = None
    last_run: LastRun | None = None
    last_success_time: AwareDatetime | None = None
    last_tick: AwareDatetime | None = Field(
        default=None, description="Newest tick that has a verdict or a run; older ones are not asked for again."
    )
    armed_schedule: str | None = Field(
        default=None, max_length=400, description="Cron expression and zone whose ticks these are; none if not active."
    )
    next_run_time: AwareDatetime | None = Field(default=None, description="Next tick that no blackout covers.")
    waiting_tick: WaitingTick | None = None
    dead_letters: int = Field(default=0, description="Open dead letters after the last run.")
    dead_letters_by_code: dict[str, int] = Field(default_factory=dict, max_length=20)
    recent_ticks: list[TickRecord] = Field(default_factory=list, max_length=20)


class ReverseETLSync(Resource):
    """A sync."""

    plural: ClassVar[str] = "reverseetlsyncs"
    singular: ClassVar[str] = "reverseetlsync"
    short_names: ClassVar[tuple[str, ...]] = ("retl",)
    name_max: ClassVar[int] = SYNC_NAME_MAX

    kind: Literal["ReverseETLSync"]
    spec: ReverseETLSyncSpec
    status: SyncStatus = SyncStatus()
