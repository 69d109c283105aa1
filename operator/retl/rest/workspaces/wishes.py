"""From a body to the wish it is. Pure.

What is sent as it is shown counts as not sent. So a client can send back all that it got with one thing changed, and
nothing else of the sync is touched, even what this dialect shows in other words than the manifest's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from retl.resources.sync import SyncState
from retl.rest.problems import FieldError
from retl.rest.requests.bodies import invalid, pointer
from retl.rest.service.values import MappingWish, ScheduleWish, SyncWish
from retl.rest.workspaces import answers
from retl.rest.workspaces.bodies import ChangeSync, CreateSync

MODES = ("upsert", "insert", "update", "mirror")
STATES: Mapping[str, SyncState] = {"draft": "Draft", "active": "Active", "paused": "Paused"}
READ_ONLY = ("id", "workspace_id", "created_by", "created_at")
MOVES = ("status_error", "updated_at", "last_synced_at", "last_run_id")
"""Read-only as well, and another after each run: what a client read a while ago is no wish."""
_NULL = "must not be null"
_Fields = Mapping[str, Any]


def creation(body: CreateSync) -> SyncWish:
    """What a new sync is to be (raises Problem 422)."""
    return _wish(body, {})


def change(body: ChangeSync, present: answers.Sync) -> SyncWish:
    """What is to change of a sync.

    Args:
        present: the sync as it is shown.
    Raises:
        Problem: 422.
    """
    return _wish(body, present)


def _wish(body: ChangeSync, present: _Fields) -> SyncWish:
    sent = body.model_dump(exclude_unset=True, by_alias=True)
    moved = MOVES if present else ()
    new = {name: value for name, value in sent.items() if value != present.get(name) and name not in moved}
    if not present:  # nothing is shown yet that could be sent back, null neither
        new |= {name: sent[name] for name in (*READ_ONLY, *MOVES) if name in sent}
    config = _new_config(new, present)
    if wrong := [*_wrong(new), *_wrong_mappings(new, config, present), *_wrong_config(config)]:
        raise invalid(wrong)
    wish = {term: read(new[name]) for name, (term, read) in _TERMS.items() if name in new}
    if "object" in config:
        wish["object"] = config.pop("object")
    return SyncWish(**wish, settings=config)


def _new_config(new: _Fields, present: _Fields) -> dict[str, Any]:
    if "config" not in new:
        return {}
    there = present.get("config", {})
    sent = new["config"]
    if sent is None:  # all that has a default
        sent = {name: None for name in there if name != "object"}
    return {name: value for name, value in sent.items() if value != there.get(name)}


def _columns(text: str) -> list[str]:
    return [column.strip() for column in text.split(",")]


def _mappings(entries: Sequence[_Fields]) -> list[MappingWish]:
    return [
        MappingWish(entry["destination_field"], entry["source_column"], cast=entry.get("type_cast"))
        for entry in entries
    ]


_TERMS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", str),
    "description": ("description", lambda text: text or ""),
    "model_id": ("model", UUID),
    "destination_id": ("destination", UUID),
    "field_mapping": ("mappings", _mappings),
    "sync_mode": ("mode", str),
    "primary_key": ("primary_key", _columns),
    "schedule": ("schedule", lambda cron: ScheduleWish(cron) if cron else None),
    "status": ("state", STATES.get),
}
"""Fields of the body that are one of the wish, and how they are read."""


def _wrong(new: _Fields) -> Iterator[FieldError]:
    for name in (*READ_ONLY, *MOVES):
        if name in new:
            yield FieldError("is read-only", pointer=f"/{name}")
    if new.get("sync_mode", MODES[0]) not in MODES:
        yield FieldError(f"must be one of {', '.join(MODES)}", pointer="/sync_mode")
    if "status" in new and new["status"] not in STATES:
        wrong = _NULL if new["status"] is None else f"must be one of {', '.join(STATES)}"
        yield FieldError(wrong, pointer="/status")
    if not all(_columns(new.get("primary_key", "id"))):
        yield FieldError("must name a column, or several divided by commas", pointer="/primary_key")


def _wrong_mappings(new: _Fields, config: _Fields, present: _Fields) -> Iterator[FieldError]:
    """What the manifest would take and nobody means; what is shown already may stay."""
    settings = present.get("config", {}) | config
    if new.get("field_mapping") == [] and settings.get("allColumns") is None:
        yield FieldError("must not be empty", pointer="/field_mapping")
    for name in ("source_column", "destination_field"):
        known = {entry[name] for entry in present.get("field_mapping", [])}
        for index, entry in enumerate(new.get("field_mapping", [])):
            if not entry[name].strip() and entry[name] not in known:
                yield FieldError("must not be empty", pointer=pointer(("field_mapping", index, name)))


def _wrong_config(config: _Fields) -> Iterator[FieldError]:
    if "object" in config and not (config["object"] or "").strip():
        yield FieldError("must not be empty" if config["object"] else _NULL, pointer="/config/object")
    if "cron" in (config.get("schedule") or {}):
        yield FieldError("is the field schedule of the body", pointer="/config/schedule/cron")
