"""From a body to the wish it is, and from a place in the manifest back to the field of the body. Pure.

What is sent as it is shown counts as not sent. So a client can send back all that it got with one thing changed, and
nothing else of the sync is touched, even what this dialect shows in other words than the manifest's.
"""

from collections.abc import Mapping
from typing import Any

from retl.resources.problems import Location
from retl.rest.requests import bodies
from retl.rest.reverse_etl import answers, ids
from retl.rest.reverse_etl.bodies import ChangeSync, CreateSync, FieldMapping, ScheduleBody
from retl.rest.service.values import UNSET, MappingWish, ScheduleWish, SyncWish

_FURTHER = ("skip_nulls", "only_if_empty", "sensitive", "hash", "lookup")
"""Fields of a mapping that the manifest has under the same names."""
_SCHEDULE = {"cron": "/schedule/expression", "timeZone": "/schedule/timezone"}
"""Fields of its schedule, and where they are."""
_FIELDS = {
    "displayName": "name",
    "object": "objectName",
    "mappings": "fieldMappings",
    "mode": "syncMode",
    "primaryKey": "primaryKey",
    "schedule": "schedule",
    "state": "enabled",
    "fullRefresh": "fullRefresh",
}
"""Fields of a spec, and what stands for them in a body."""


def created(body: CreateSync) -> SyncWish:
    """What a body for a new sync asks for."""
    return SyncWish(
        name=body.name,
        query=body.source_query,
        destination=ids.destination(body.destination_id),
        object=body.object_name,
        mappings=[_mapping_wish(each) for each in body.field_mappings],
        sql_columns=True,
        mode=body.sync_mode,
        primary_key=body.primary_key or UNSET,
        schedule=_schedule_wish(body.schedule),
        enabled=True if body.enabled is None else body.enabled,
    )


def changed(body: ChangeSync, present: answers.SyncWhole) -> SyncWish:
    """What a body for a sync that is there asks for; `present` is the sync as it is shown."""
    shown: Mapping[str, Any] = {**present}
    sent = body.model_dump(by_alias=False, exclude_unset=True)
    new = {name for name, value in sent.items() if name not in shown or value != shown[name]}
    return SyncWish(
        name=body.name if "name" in new else UNSET,
        query=body.source_query if "source_query" in new else UNSET,
        destination=ids.destination(body.destination_id) if "destination_id" in new else UNSET,
        object=body.object_name if "object_name" in new else UNSET,
        mappings=[_mapping_wish(each) for each in body.field_mappings] if "field_mappings" in new else UNSET,
        sql_columns=True,
        mode=body.sync_mode if "sync_mode" in new else UNSET,
        primary_key=(body.primary_key or ()) if "primary_key" in new else UNSET,
        schedule=_schedule_wish(body.schedule) if "schedule" in new else UNSET,
        enabled=body.enabled if "enabled" in new else UNSET,
    )


def pointer(location: Location) -> str | None:
    """The field of a body that stands for a place in a manifest."""
    match location:
        case ("spec", "query" | "modelRef", *_):
            return "/sourceQuery"
        case ("spec", "destinationRef", *_):
            return "/destinationId"
        case ("spec", "mappings", int() as index, "expression", *_):
            return f"/fieldMappings/{index}/source"
        case ("spec", "schedule", str() as name, *_):
            return _SCHEDULE.get(name, "/schedule")
        case ("spec", "replay", "entries", *rest):
            return bodies.pointer(("entryIds", *rest))
        case ("spec", "approval", *rest):
            return bodies.pointer(tuple(rest))
        case ("spec", str() as name, *rest) if name in _FIELDS:
            return bodies.pointer((_FIELDS[name], *rest))
    return None


def _mapping_wish(body: FieldMapping) -> MappingWish:
    sent = body.model_fields_set
    written = body.model_dump(by_alias=True, include=set(_FURTHER) & sent, exclude_unset=True)
    origin = {name: text for name in ("value", "metadata") if (text := getattr(body, name)) is not None}
    return MappingWish(
        destination=body.destination,
        source=body.source or "",
        cast=body.cast if "cast" in sent else UNSET,
        key=UNSET if body.key is None else body.key,
        further=origin | written,
    )


def _schedule_wish(body: ScheduleBody | None) -> ScheduleWish | None:
    if body is None or body.expression is None:
        return None
    return ScheduleWish(body.expression, UNSET if body.timezone is None else body.timezone)
