"""What clients get. The shapes of the OpenAPI document; all ids are UUIDs, all moments ISO 8601 in UTC."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class FieldMapping(TypedDict):
    """Which column goes to which field of the destination."""

    source_column: str
    destination_field: str
    type_cast: NotRequired[str]


class Sync(TypedDict):
    """A sync; `status_error` says why its status is error, and `last_synced_at` when it last succeeded."""

    id: str
    workspace_id: str
    model_id: str
    destination_id: str
    name: str
    description: str
    field_mapping: list[FieldMapping]
    sync_mode: str
    schedule: str
    config: dict[str, Any]
    primary_key: str
    status: Literal["draft", "active", "paused", "error"]
    status_error: str
    created_by: str
    created_at: str
    updated_at: str
    last_synced_at: str | None
    last_run_id: str | None


class Deleted(TypedDict):
    """The sync is deleted."""

    status: Literal["deleted"]


RunStatus = Literal["pending", "running", "completed", "failed", "cancelled"]


class StartedRun(TypedDict):
    """A run that was just asked for."""

    id: str
    sync_id: str
    workspace_id: str
    status: RunStatus
    started_at: str
    rows_synced: int
    rows_failed: int
    triggered_by: str
    created_at: str


class Run(StartedRun):
    """A run; `completed_at` is null until it has ended, `error_message` empty unless it failed or is held."""

    completed_at: str | None
    error_message: str


class Connection(TypedDict):
    """What a sync can refer to; `status_error` says why its status is error."""

    id: str
    workspace_id: str
    name: str
    status: Literal["ready", "error", "pending"]
    status_error: str
    created_at: str


class Connector(Connection):
    """A source or a destination."""

    connector: str


class Model(Connection):
    """Named rows of a source."""

    source_id: str
