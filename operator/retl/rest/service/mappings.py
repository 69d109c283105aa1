"""How a wish for mappings meets those that are there: what a dialect cannot say of one is kept. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from retl.resources.sync import Mapping as Model
from retl.rest.service.values import UNSET, MappingWish

ManifestMapping = Mapping[str, Any]
"""A mapping as the manifest writes it."""

_ORIGINS = ("source", "expression", "value", "metadata")
_DEFAULTS: Mapping[str, Any] = {field.alias or name: field.default for name, field in Model.model_fields.items()}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_QUOTED = re.compile(r'"((?:[^"]|"")+)"')


def shown(mapping: ManifestMapping) -> str:
    """Where a value comes from, as one text: a column's name, an expression, `'constant'` or `{{RunId}}`."""
    if (value := mapping.get("value")) is not None:
        return "'{}'".format(value.replace("'", "''"))
    if (metadata := mapping.get("metadata")) is not None:
        return f"{{{{{metadata}}}}}"
    return str(mapping.get("source") or mapping.get("expression") or "")


def shown_as_sql(mapping: ManifestMapping) -> str:
    """A column or an expression as `column_or_expression` reads it; empty for a constant, or what a run says."""
    if (column := mapping.get("source")) is None:
        return str(mapping.get("expression") or "")
    quoted = str(column).replace('"', '""')
    return str(column) if _IDENTIFIER.fullmatch(column) else f'"{quoted}"'


def column_or_expression(text: str) -> dict[str, str]:
    """A text that is a column if it is an identifier or in double quotes, else an expression, as a mapping's origin."""
    if _IDENTIFIER.fullmatch(text):
        return {"source": text}
    if quoted := _QUOTED.fullmatch(text):
        return {"source": quoted[1].replace('""', '"')}
    return {"expression": text}


def merged(
    before: Sequence[ManifestMapping], wishes: Sequence[MappingWish], *, sql_columns: bool
) -> list[dict[str, Any]]:
    """The mappings as they are to be: one for each wish, in that order.

    Args:
        sql_columns: as in SyncWish.
    """
    known = {each.get("destination"): each for each in before}
    return [_merged(known.get(wish.destination), wish, sql_columns) for wish in wishes]


def with_keys(mappings: Sequence[ManifestMapping], destinations: Sequence[str]) -> list[dict[str, Any]]:
    """The same with those as the key, and no others."""
    return [_with(each, {"key": each.get("destination") in destinations}) for each in mappings]


def _merged(old: ManifestMapping | None, wish: MappingWish, sql_columns: bool) -> dict[str, Any]:
    new = dict(old or {"destination": wish.destination})
    origin = _origin(old, wish, sql_columns)
    if old is None or any(old.get(name) != origin.get(name) for name in _ORIGINS):
        new = {name: value for name, value in new.items() if name not in _ORIGINS} | origin
    changes = {name: value for name, value in wish.further.items() if name not in _ORIGINS}
    changes |= {} if wish.cast is UNSET else {"cast": wish.cast}
    changes |= {} if wish.key is UNSET else {"key": wish.key}
    return _with(new, changes)


def _origin(old: ManifestMapping | None, wish: MappingWish, sql_columns: bool) -> dict[str, Any]:
    if named := {name: wish.further[name] for name in _ORIGINS if wish.further.get(name) is not None}:
        return named
    if old is not None and (shown_as_sql(old) if sql_columns else shown(old)) == wish.source:
        return {name: old[name] for name in _ORIGINS if old.get(name) is not None}
    return column_or_expression(wish.source) if sql_columns else {"source": wish.source}


def _with(mapping: ManifestMapping, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with fields changed; one that has that value already, written or by default, is left as it is."""
    changed = dict(mapping)
    for name, value in changes.items():
        default = _DEFAULTS.get(name)
        if changed.get(name, default) == value:
            continue
        if value is None or value == default:
            changed.pop(name, None)
        else:
            changed[name] = value
    return changed
