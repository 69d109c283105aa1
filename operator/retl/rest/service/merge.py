"""What a wish makes of a sync: the spec as it is to be, and the smallest change that gets there. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from retl.resources.kinds import Manifest
from retl.resources.problems import problems
from retl.resources.sync import (
    KEY_MAPPED,
    KEY_OF_QUERY,
    MAPS_SOMETHING,
    MIRROR_READS_ALL,
    ReverseETLSyncSpec,
    Schedule,
)
from retl.rest.problems import FieldError, Problem
from retl.rest.service import mappings
from retl.rest.service.refused import location
from retl.rest.service.values import UNSET, SyncWish
from retl.schedule import InvalidSchedule, validate

Spec = dict[str, Any]
"""`spec` of a ReverseETLSync as the API server gives and takes it."""

_AT_MAPPINGS = ("spec", "mappings")
_FIELDS_OF_RULES = {
    KEY_MAPPED.message: "mappings",
    KEY_OF_QUERY.message: "primaryKey",
    MAPS_SOMETHING.message: "mappings",
    MIRROR_READS_ALL.message: "mode",
}
"""Rules about several fields, and the one that people know them by."""
_PRECONDITIONS = ("uid", "resourceVersion")


@dataclass(frozen=True, slots=True)
class Found:
    """What the names in a wish turned out to be.

    Attributes:
        row_set: `modelRef` or `query` as it is to be; empty where the wish names neither.
        model_key: primary key of the model that the sync then reads; empty where it reads none.
        destination: name of the SyncDestination that the wish names; empty where it names none.
        object: of a sync that names none.
    """

    row_set: Mapping[str, Any]
    model_key: Sequence[str] = ()
    destination: str = ""
    object: str = ""


def merged(before: Mapping[str, Any] | None, wish: SyncWish, found: Found) -> Spec:
    """The spec as it is to be.

    Args:
        before: as it is; None for a new sync.
    Raises:
        Problem: 422 with each field that is wrong, unless it was so before.
    """
    spec: Spec = deepcopy(dict(before or {}))
    if found.row_set:
        spec = {name: value for name, value in spec.items() if name not in ("modelRef", "query")} | dict(found.row_set)
    if found.destination:
        spec["destinationRef"] = {"name": found.destination}
    _set_plain(spec, wish, found)
    if found.object and not spec.get("object"):
        spec["object"] = found.object
    _set_schedule(spec, wish)
    if wish.mappings is not UNSET:
        spec["mappings"] = mappings.merged(spec.get("mappings") or [], wish.mappings, sql_columns=wish.sql_columns)
    if wish.sql_columns and "query" in spec:
        _set_key_of_query(before or {}, spec, wish)
    _mark_keys(spec, wish, found)
    _check(before, spec)
    return spec


def same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether both specs say the same, be it by a default."""
    try:
        return _read(before) == _read(after)
    except ValidationError:
        return before == after


def change(manifest: Manifest, after: Mapping[str, Any]) -> Manifest:
    """The merge patch (RFC 7386) to a spec, good for no other version of the object than this one."""
    head = {name: manifest["metadata"][name] for name in _PRECONDITIONS}
    return {"metadata": head, "spec": difference(manifest.get("spec") or {}, after)}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What a merge patch must say: lists whole, null for what is to go."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := difference(old, value):
                patch[name] = inner
        elif name not in before or old != value:
            patch[name] = value
    return patch


def _set_plain(spec: Spec, wish: SyncWish, found: Found) -> None:
    plain = {
        "displayName": wish.name,
        "description": wish.description,
        "object": wish.object,
        "mode": wish.mode,
        "primaryKey": _primary_key(spec, wish, found),
        "state": _state(spec, wish),
    }
    sent = {name: value for name, value in plain.items() if value is not UNSET}
    sent |= {name: value for name, value in wish.settings.items() if name not in ("key", "schedule")}
    for name, value in sent.items():
        if value is None or (value in ("", []) and name != "object"):
            spec.pop(name, None)
        else:
            spec[name] = value


def _primary_key(spec: Spec, wish: SyncWish, found: Found) -> Any:
    """As it is wished; a sync that has the key of its model does not say so, and goes on to have it."""
    if wish.primary_key is UNSET:
        return UNSET
    wanted = list(wish.primary_key)
    return [] if wanted == list(found.model_key) and not spec.get("primaryKey") else wanted


def _state(spec: Spec, wish: SyncWish) -> Any:
    if wish.enabled is UNSET:
        return wish.state
    if wish.enabled:
        return "Active"
    return UNSET if spec.get("state") == "Draft" else "Paused"


def _set_schedule(spec: Spec, wish: SyncWish) -> None:
    schedule: dict[str, Any] = dict(spec.get("schedule") or {})
    if wish.schedule is None:
        schedule = {}
    elif wish.schedule is not UNSET:
        schedule["cron"] = wish.schedule.cron
        schedule |= {} if wish.schedule.time_zone is UNSET else {"timeZone": wish.schedule.time_zone}
    if "schedule" in wish.settings:
        rest = wish.settings["schedule"] or {}
        schedule = ({"cron": schedule["cron"]} if "cron" in schedule else {}) | rest
    spec.pop("schedule", None)
    if schedule:
        spec["schedule"] = schedule


def _set_key_of_query(before: Mapping[str, Any], spec: Spec, wish: SyncWish) -> None:
    """The rows of a query of its own are told apart by the columns that the key is made of, if nobody says by which.

    As long as the key stays as it was, so do they: its rows would be taken for others.
    """
    keys = _keys(spec)
    if wish.primary_key is not UNSET and wish.primary_key:
        return
    if spec.get("primaryKey") and wish.primary_key is UNSET and keys == _keys(before):
        return
    if not keys:
        raise _wrong(KEY_MAPPED.message)
    if any("source" not in each for each in keys):
        raise _wrong("the key is no column, so that it does not say what a row is: name the columns in primaryKey")
    spec["primaryKey"] = [each["source"] for each in keys]


def _keys(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The mappings that are the key, without what does not tell one from another."""
    written = [each for each in spec.get("mappings") or [] if each.get("key")]
    return [{name: each[name] for name in ("destination", "source") if name in each} for each in written]


def _mark_keys(spec: Spec, wish: SyncWish, found: Found) -> None:
    """Mark as key what the destination is to find its record by, where nothing is marked."""
    written: list[dict[str, Any]] = spec.get("mappings") or []
    if "key" in wish.settings:
        wanted = wish.settings["key"] or []
        _check_each_mapped(wanted, written)
        spec["mappings"] = written = mappings.with_keys(written, wanted)
    if not written or spec.get("allColumns") is not None or spec.get("mode") == "append":
        return
    if any(each.get("key") for each in written):
        return
    columns = spec.get("primaryKey") or found.model_key
    marked = [each["destination"] for each in written if each.get("source") in columns]
    if not marked and wish.sql_columns:
        raise _wrong(KEY_MAPPED.message)
    spec["mappings"] = mappings.with_keys(written, marked or [written[0]["destination"]])


def _check_each_mapped(destinations: Sequence[str], written: Iterable[Mapping[str, Any]]) -> None:
    known = {each.get("destination") for each in written}
    errors = [
        FieldError("no mapping has this destination field", ("spec", "key", index))
        for index, name in enumerate(destinations)
        if name not in known
    ]
    if errors:
        raise invalid(errors)


def _check(before: Mapping[str, Any] | None, spec: Spec) -> None:
    """Raise Problem for what is wrong, apart from what was wrong before: people keep what a newer version knows."""
    wrong = _problems(spec)
    if wrong and before is not None:
        known = _problems(before)
        wrong = [each for each in wrong if each not in known]
    if wrong:
        raise invalid(wrong)


def _problems(spec: Mapping[str, Any]) -> list[FieldError]:
    try:
        schedule = _read(spec).schedule
    except ValidationError as error:
        found = problems(error, ReverseETLSyncSpec)
        return [FieldError(each.message, ("spec", *(each.location or _of_rule(each.message)))) for each in found]
    return _never_fires(schedule) if schedule else []


def _of_rule(message: str) -> tuple[str, ...]:
    return (_FIELDS_OF_RULES[message],) if message in _FIELDS_OF_RULES else ()


def _never_fires(schedule: Schedule) -> list[FieldError]:
    """What is wrong with a schedule that is well formed: the API server would take it, and the sync be Stalled."""
    try:
        validate(schedule)
    except InvalidSchedule as error:
        where, _, wrong = str(error).partition(": ")
        return [FieldError(wrong, location(f"spec.{where}"))]
    return []


def _read(spec: Mapping[str, Any]) -> ReverseETLSyncSpec:
    return ReverseETLSyncSpec.model_validate(spec, by_alias=True, by_name=False)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """A body with fields that are wrong."""
    told = "; ".join(error.detail for error in errors[:3])
    return Problem(422, "invalid-input", f"the sync cannot be so: {told}", errors=errors)


def _wrong(detail: str) -> Problem:
    return invalid([FieldError(detail, _AT_MAPPINGS)])
