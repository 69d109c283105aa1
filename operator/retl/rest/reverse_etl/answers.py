"""What clients get: snake_case, in the envelope of the published API. The shapes of the OpenAPI document."""

from typing import Generic, Literal, NotRequired, TypeVar

from typing_extensions import TypedDict

Attributes = TypeVar("Attributes")
Item = TypeVar("Item")


class Resource(TypedDict, Generic[Attributes]):
    """A thing by its id."""

    id: str
    type: str
    attributes: Attributes


class Summary(TypedDict, Generic[Attributes]):
    """A result that has no id."""

    type: str
    attributes: Attributes


class One(TypedDict, Generic[Item]):
    """One thing."""

    data: Item


class Several(TypedDict, Generic[Item]):
    """All things."""

    data: list[Item]


class PageInfo(TypedDict):
    """The page: `cursor` asks for the next one; null if this is the last."""

    limit: int
    cursor: str | None


class Meta(TypedDict):
    """What is said of a list."""

    page: PageInfo


class Paged(TypedDict, Generic[Item]):
    """Some of the things."""

    data: list[Item]
    meta: Meta


class Schedule(TypedDict):
    """When a sync runs by itself."""

    type: Literal["cron", "manual"]
    expression: NotRequired[str]
    timezone: NotRequired[str]


class Hash(TypedDict):
    """How a value is hashed."""

    algorithm: NotRequired[str]
    normalize: NotRequired[str]


class Lookup(TypedDict):
    """Where a value is looked up."""

    object: str
    match_field: str
    return_field: str
    on_miss: NotRequired[str]


class FieldMapping(TypedDict):
    """One destination field and where its value comes from."""

    source: NotRequired[str]
    value: NotRequired[str]
    metadata: NotRequired[str]
    destination: str
    key: NotRequired[bool]
    cast: NotRequired[str]
    skip_nulls: NotRequired[bool]
    only_if_empty: NotRequired[bool]
    hash: NotRequired[Hash]
    lookup: NotRequired[Lookup]
    sensitive: NotRequired[bool]


class SyncChanged(TypedDict):
    """A sync that was changed."""

    name: str
    sync_mode: str
    enabled: bool
    schedule: Schedule
    updated_at: str


class SyncListed(SyncChanged):
    """A sync in a list; `destination_id` is null where there is no such destination any more."""

    destination_id: str | None
    object_name: str


class SyncWhole(SyncListed):
    """A sync with its query and mappings."""

    source_query: str
    field_mappings: list[FieldMapping]
    created_at: str


class SyncDeleted(TypedDict):
    """A sync that was deleted."""

    deleted: bool
    deleted_at: str


class SyncToggled(TypedDict):
    """A sync that was switched on or off."""

    enabled: bool
    updated_at: str


RunStatus = Literal["queued", "running", "awaiting_approval", "succeeded", "failed", "cancelled"]


class RunStarted(TypedDict):
    """A run that was asked for."""

    sync_id: str | None
    status: RunStatus
    full_refresh: bool
    created_at: str


class RunListed(TypedDict):
    """A run in a list."""

    sync_id: str | None
    status: RunStatus
    rows_read: int
    rows_written: int
    rows_failed: int
    started_at: str | None
    finished_at: str | None


class RunWhole(RunListed):
    """A run; `message` says why it has its status, and is empty for one that succeeded."""

    full_refresh: bool
    created_at: str
    message: str
    plan_hash: str | None
    triggered_by: str


class NotStarted(TypedDict):
    """A sync of several that was not run, and the problem."""

    sync_id: str
    type: str
    title: str
    status: int
    detail: str


class RunsStarted(TypedDict):
    """The runs of several syncs, in the order asked; those that were not run are told apart."""

    data: list[Resource[RunStarted]]
    errors: NotRequired[list[NotStarted]]


class DestinationAttributes(TypedDict):
    """A connection that rows can be written into."""

    name: str
    connector: str
    status: Literal["connected", "error", "pending"]
    objects_discoverable: bool


class SourceAttributes(TypedDict):
    """A connection that rows are read from; the default one answers the queries of new syncs."""

    name: str
    connector: str
    status: Literal["connected", "error", "pending"]
    default: bool


class ModelAttributes(TypedDict):
    """Named rows of a source; the id is a `sourceQuery`."""

    name: str
    source_name: str
    status: Literal["ready", "error", "pending"]


class ObjectAttributes(TypedDict):
    """What a destination takes."""

    label: str
    api_name: str
    supports_upsert: bool
    writable: bool


class FieldAttributes(TypedDict):
    """A field of it."""

    label: str
    data_type: str
    required: bool
    updateable: bool
    external_id: bool


class LetterAttributes(TypedDict):
    """A record that could not be written."""

    sync_id: str
    run_id: str | None
    error_code: str
    message: str
    record_keys: dict[str, str | None]
    attempts: int
    first_seen_at: str
    resolved: bool


class LetterStatisticsAttributes(TypedDict):
    """Numbers of such records; by code those that are open."""

    open_count: int
    resolved_count: int
    by_error_code: dict[str, int]
    computed_at: str


class ResolvedAttributes(TypedDict):
    """What became of them; `replay_run_ids` where the entries are of several syncs."""

    resolved_ids: list[str]
    replay_run_id: str | None
    replay_run_ids: NotRequired[list[str]]
    resolved_at: str
