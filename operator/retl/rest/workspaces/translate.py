"""Between the words of this dialect and the terms of the service layer. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel

from retl.resources.problems import Location
from retl.rest.callers.caller import NOBODY
from retl.rest.requests.answers import explained, moment
from retl.rest.requests.bodies import pointer
from retl.rest.service.manifests import without_defaults
from retl.rest.service.mappings import shown
from retl.rest.service.values import ConnectionRecord, RunRecord, SyncRecord
from retl.rest.vocabulary import RUN_WORDS, state_of_sync
from retl.rest.workspaces import answers
from retl.rest.workspaces.bodies import Config

GONE = str(NOBODY)
"""In the place of the id of what a sync refers to, and there is none of that name."""
SETTINGS = tuple(to_camel(name) for name in Config.model_fields if name not in ("object", "key", "schedule"))
"""Keys of `config` that are fields of the spec as they are."""


def sync(record: SyncRecord) -> answers.Sync:
    """A sync as this dialect shows it."""
    spec, meta, status = record.sync.spec, record.sync.meta, record.sync.status
    state = state_of_sync(record.sync)
    own_query = str(record.uid) if "query" in spec else GONE
    return {
        "id": str(record.uid),
        "workspace_id": str(record.place.uid),
        "model_id": str(record.model.uid) if record.model else own_query,
        "destination_id": str(record.destination.uid) if record.destination else GONE,
        "name": _name(spec, meta.name),
        "description": spec.get("description", ""),
        "field_mapping": [_field_mapping(each) for each in spec.get("mappings") or []],
        "sync_mode": spec.get("mode", "upsert"),
        "schedule": record.sync.schedule.get("cron", ""),
        "config": _config(spec),
        "primary_key": ",".join(record.primary_key),
        "status": state.status,
        "status_error": state.error,
        "created_by": str(record.created_by),
        "created_at": moment(meta.creation_timestamp or record.updated_at),
        "updated_at": moment(record.updated_at),
        "last_synced_at": moment(status.last_success_time) if status.last_success_time else None,
        "last_run_id": str(record.last_run) if record.last_run else None,
    }


def _name(spec: Mapping[str, Any], otherwise: str) -> str:
    name = str(spec.get("displayName", ""))
    return name if name.strip() else otherwise


def _field_mapping(mapping: Mapping[str, Any]) -> answers.FieldMapping:
    entry: answers.FieldMapping = {"source_column": shown(mapping), "destination_field": mapping["destination"]}
    if cast := mapping.get("cast"):
        entry["type_cast"] = cast
    return entry


def _config(spec: Mapping[str, Any]) -> dict[str, Any]:
    said = without_defaults({name: spec[name] for name in (*SETTINGS, "schedule") if name in spec})
    key = [mapping["destination"] for mapping in spec.get("mappings") or [] if mapping.get("key")]
    schedule = {name: value for name, value in said.get("schedule", {}).items() if name != "cron"}
    settings = {name: said[name] for name in SETTINGS if name in said}
    return {
        "object": spec["object"],
        **({"key": key} if key else {}),
        **settings,
        **({"schedule": schedule} if schedule else {}),
    }


def started(record: RunRecord) -> answers.StartedRun:
    """A run as the answer to its request shows it."""
    return {
        "id": str(record.uid),
        "sync_id": str(record.sync or NOBODY),
        "workspace_id": str(record.place.uid),
        "status": RUN_WORDS[record.state].workspaces,
        "started_at": moment(record.started_at or record.created_at),
        "rows_synced": record.rows_written,
        "rows_failed": record.rows_failed,
        "triggered_by": str(record.triggered_by),
        "created_at": moment(record.created_at),
    }


def run(record: RunRecord) -> answers.Run:
    """A run as this dialect shows it."""
    return {
        **started(record),
        "completed_at": moment(record.finished_at) if record.finished_at else None,
        "error_message": _error_of(record),
    }


def _error_of(run: RunRecord) -> str:
    if run.state == "Failed":
        return explained(run.reason, run.message)
    # A state of its own, for which this dialect has no word.
    return explained("AwaitingApproval", run.message or run.reason) if run.state == "AwaitingApproval" else ""


def connector(record: ConnectionRecord, workspace: UUID) -> answers.Connector:
    """A source or a destination as this dialect shows it."""
    return {**_connection(record, workspace), "connector": record.connector}


def model(record: ConnectionRecord, workspace: UUID, sources: Sequence[ConnectionRecord]) -> answers.Model:
    """A model as this dialect shows it."""
    source = next((str(source.uid) for source in sources if source.name == record.source), GONE)
    return {**_connection(record, workspace), "source_id": source}


def _connection(record: ConnectionRecord, workspace: UUID) -> answers.Connection:
    return {
        "id": str(record.uid),
        "workspace_id": str(workspace),
        "name": record.display_name,
        "status": "pending" if record.ready is None else "ready" if record.ready else "error",
        "status_error": explained(record.reason, record.message) if record.ready is False else "",
        "created_at": moment(record.created_at),
    }


_FIELDS = {
    "displayName": "name",
    "description": "description",
    "modelRef": "model_id",
    "query": "model_id",
    "destinationRef": "destination_id",
    "mode": "sync_mode",
    "primaryKey": "primary_key",
    "state": "status",
    "fullRefresh": "full_refresh",
    "approval": "plan_hash",
}
_FIELDS_OF_MAPPING = {
    "destination": "destination_field",
    "source": "source_column",
    "expression": "source_column",
    "value": "source_column",
    "metadata": "source_column",
    "cast": "type_cast",
}


def to_pointer(location: Location) -> str | None:
    """Which field of a body a place in the manifest is."""
    match location:
        case ("spec", "mappings", int(index), str(field), *_) if field in _FIELDS_OF_MAPPING:
            return pointer(("field_mapping", index, _FIELDS_OF_MAPPING[field]))
        case ("spec", "mappings", int(index), *_):
            return pointer(("field_mapping", index))
        case ("spec", "mappings"):
            return "/field_mapping"
        case ("spec", "schedule") | ("spec", "schedule", "cron"):
            return "/schedule"
        case ("spec", str(name), *_) if name in _FIELDS:
            return pointer((_FIELDS[name],))
        case ("spec", ("object" | "key" | "schedule") as name, *rest):
            return pointer(("config", name, *rest))
        case ("spec", str(name), *rest) if name in SETTINGS:
            return pointer(("config", name, *rest))
    return None
