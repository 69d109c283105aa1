"""Records of the service layer as this dialect shows them. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from retl.resources.ids import type_id
from retl.rest.problems import Problem
from retl.rest.requests.answers import explained, moment
from retl.rest.reverse_etl import answers
from retl.rest.service import mappings
from retl.rest.service.values import (
    ConnectionRecord,
    FieldRecord,
    LetterRecord,
    LetterStatistics,
    ObjectRecord,
    Resolved,
    RunRecord,
    SyncRecord,
)
from retl.rest.vocabulary import RUN_WORDS


def sync_whole(record: SyncRecord) -> answers.Resource[answers.SyncWhole]:
    """A sync as GET shows it."""
    spec = record.sync.spec
    return {
        "id": type_id("retl_sync", record.uid),
        "type": "reverse_etl_sync",
        "attributes": {
            "name": str(spec.get("displayName") or record.sync.name),
            "source_query": record.query,
            "destination_id": type_id("conn", record.destination.uid) if record.destination else None,
            "object_name": spec["object"],
            "field_mappings": [_mapping(each) for each in spec.get("mappings") or []],
            "sync_mode": spec.get("mode", "upsert"),
            "enabled": record.sync.state == "Active",
            "schedule": _schedule(record),
            "created_at": moment(record.sync.meta.creation_timestamp or record.updated_at),
            "updated_at": moment(record.updated_at),
        },
    }


def sync_part(record: SyncRecord, shape: type[answers.Attributes]) -> answers.Resource[answers.Attributes]:
    """The same with those attributes only that a type of `answers` has."""
    whole = sync_whole(record)
    wanted = {name: value for name, value in whole["attributes"].items() if name in shape.__annotations__}
    return {"id": whole["id"], "type": whole["type"], "attributes": cast(answers.Attributes, wanted)}


def sync_deleted(uid: UUID, at: datetime) -> answers.Resource[answers.SyncDeleted]:
    """A sync that is gone."""
    return {
        "id": type_id("retl_sync", uid),
        "type": "reverse_etl_sync",
        "attributes": {"deleted": True, "deleted_at": moment(at)},
    }


def run_started(record: RunRecord) -> answers.Resource[answers.RunStarted]:
    """A run that was asked for."""
    return _run(
        record,
        {
            "sync_id": _sync_id(record),
            "status": RUN_WORDS[record.state].reverse_etl,
            "full_refresh": record.full_refresh,
            "created_at": moment(record.created_at),
        },
    )


def run_listed(record: RunRecord) -> answers.Resource[answers.RunListed]:
    """A run as a list shows it."""
    return _run(record, _progress(record))


def run_whole(record: RunRecord) -> answers.Resource[answers.RunWhole]:
    """A run with all that is known of it."""
    return _run(
        record,
        {
            **_progress(record),
            "full_refresh": record.full_refresh,
            "created_at": moment(record.created_at),
            "message": explained(record.reason, record.message),
            "plan_hash": record.plan_hash or None,
            "triggered_by": str(record.triggered_by),
        },
    )


def not_started(sync: UUID, problem: Problem) -> answers.NotStarted:
    """A sync of several that was not run."""
    document = problem.document()
    return {
        "sync_id": type_id("retl_sync", sync),
        "type": document["type"],
        "title": document["title"],
        "status": problem.status,
        "detail": problem.detail,
    }


def destination(record: ConnectionRecord) -> answers.Resource[answers.DestinationAttributes]:
    """A connection that rows can be written into."""
    return {
        "id": type_id("conn", record.uid),
        "type": "reverse_etl_destination",
        "attributes": {
            "name": record.display_name or record.name,
            "connector": record.connector,
            "status": _CONNECTED[record.ready],
            "objects_discoverable": record.discoverable,
        },
    }


def source(record: ConnectionRecord) -> answers.Resource[answers.SourceAttributes]:
    """A connection that rows are read from."""
    return {
        "id": type_id("conn", record.uid),
        "type": "reverse_etl_source",
        "attributes": {
            "name": record.display_name or record.name,
            "connector": record.connector,
            "status": _CONNECTED[record.ready],
            "default": record.default,
        },
    }


def model(record: ConnectionRecord) -> answers.Resource[answers.ModelAttributes]:
    """Named rows; the id is what `sourceQuery` takes."""
    return {
        "id": f"model:{record.name}",
        "type": "reverse_etl_model",
        "attributes": {
            "name": record.display_name or record.name,
            "source_name": record.source,
            "status": _READY[record.ready],
        },
    }


def object_of(record: ObjectRecord) -> answers.Resource[answers.ObjectAttributes]:
    """What a destination takes."""
    return {
        "id": record.name,
        "type": "destination_object",
        "attributes": {
            "label": record.label,
            "api_name": record.name,
            "supports_upsert": record.upsert,
            "writable": record.writable,
        },
    }


def field_of(record: FieldRecord) -> answers.Resource[answers.FieldAttributes]:
    """A field of it."""
    return {
        "id": record.name,
        "type": "destination_field",
        "attributes": {
            "label": record.label,
            "data_type": record.type,
            "required": record.required,
            "updateable": record.updateable,
            "external_id": record.external_id,
        },
    }


def letter(record: LetterRecord) -> answers.Resource[answers.LetterAttributes]:
    """A record that could not be written."""
    return {
        "id": type_id("retl_dlq", record.uid),
        "type": "reverse_etl_dlq_entry",
        "attributes": {
            "sync_id": type_id("retl_sync", record.sync),
            "run_id": type_id("retl_run", record.run) if record.run else None,
            "error_code": record.code,
            "message": record.message,
            "record_keys": dict(record.record_keys),
            "attempts": record.attempts,
            "first_seen_at": moment(record.first_seen_at),
            "resolved": record.resolved_at is not None,
        },
    }


def letter_statistics(found: LetterStatistics) -> answers.Summary[answers.LetterStatisticsAttributes]:
    """Numbers of such records."""
    return {
        "type": "reverse_etl_dlq_stats",
        "attributes": {
            "open_count": found.open,
            "resolved_count": found.resolved,
            "by_error_code": dict(found.by_code),
            "computed_at": moment(found.computed_at),
        },
    }


def resolved(done: Resolved) -> answers.Summary[answers.ResolvedAttributes]:
    """What became of entries that were to be resolved."""
    runs = [type_id("retl_run", run.uid) for run in done.runs]
    attributes: answers.ResolvedAttributes = {
        "resolved_ids": [type_id("retl_dlq", uid) for uid in done.ids],
        "replay_run_id": runs[0] if runs else None,
        "resolved_at": moment(done.at),
    }
    if len(runs) > 1:
        attributes["replay_run_ids"] = runs
    return {"type": "reverse_etl_dlq_resolve", "attributes": attributes}


_CONNECTED: Mapping[bool | None, Literal["connected", "error", "pending"]] = {
    True: "connected",
    False: "error",
    None: "pending",
}
_READY: Mapping[bool | None, Literal["ready", "error", "pending"]] = {True: "ready", False: "error", None: "pending"}


def _schedule(record: SyncRecord) -> answers.Schedule:
    schedule = record.sync.schedule
    if not schedule:
        return {"type": "manual"}
    return {"type": "cron", "expression": schedule["cron"], "timezone": schedule.get("timeZone", "UTC")}


def _mapping(written: Mapping[str, Any]) -> answers.FieldMapping:
    """A mapping of a manifest; what has its default there is left out."""
    shown: dict[str, Any] = {}
    if origin := mappings.shown_as_sql(written):
        shown["source"] = origin
    shown |= {name: written[name] for name in ("value", "metadata", "destination") if name in written}
    flags = {"key": "key", "skipNulls": "skip_nulls", "onlyIfEmpty": "only_if_empty", "sensitive": "sensitive"}
    shown |= {name: True for there, name in flags.items() if written.get(there)}
    shown |= {name: written[name] for name in ("cast", "hash") if name in written}
    if lookup := written.get("lookup"):
        names = {"matchField": "match_field", "returnField": "return_field", "onMiss": "on_miss"}
        shown["lookup"] = {names.get(there, there): text for there, text in lookup.items()}
    return cast(answers.FieldMapping, shown)


def _run(record: RunRecord, attributes: answers.Attributes) -> answers.Resource[answers.Attributes]:
    return {"id": type_id("retl_run", record.uid), "type": "reverse_etl_run", "attributes": attributes}


def _sync_id(record: RunRecord) -> str | None:
    return type_id("retl_sync", record.sync) if record.sync else None


def _progress(record: RunRecord) -> answers.RunListed:
    return {
        "sync_id": _sync_id(record),
        "status": RUN_WORDS[record.state].reverse_etl,
        "rows_read": record.counts.read,
        "rows_written": record.rows_written,
        "rows_failed": record.rows_failed,
        "started_at": moment(record.started_at) if record.started_at else None,
        "finished_at": moment(record.finished_at) if record.finished_at else None,
    }
