"""Records as Salesforce takes them: in JSON for collections, in CSV for jobs.

Pure. Numbers stay as they stand. See the REST API Developer Guide, sObject Collections, and the Bulk API 2.0 Developer
Guide, Prepare CSV Files: there an empty cell leaves a field as it is, and #N/A clears it.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

import orjson

from retl.destinations.salesforce.objects import NUMBERS, Field, SObject
from retl.runspec import paths

CLEARED = "#N/A"
LONGEST_CELL = 2**30
"""Characters; Python's own limit is less than what a field of Salesforce may hold."""
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?")
LONG_ID = 15
"""Characters of a record's Id that tell it from others; the three more of the long form are a checksum."""

Record = dict[str, Any]


class _Number(str):
    """A number as it stands in JSON."""

    __slots__ = ()


def read(payload: bytes, sobject: SObject) -> Record:
    """A record of the sync, with values as Salesforce takes them."""
    record: Record = json.loads(payload, parse_float=_Number, parse_int=_Number)
    references = sobject.references
    found: Record = {}
    for name, value in record.items():
        if isinstance(value, dict) and name in references and all(inner is None for inner in value.values()):
            found[references[name].name] = None  # of a relationship, what is cleared is the reference itself
        else:
            field = sobject.fields.get(name)
            found[name] = _value(value, field.type if field else "")
    return found


def collection(records: Iterable[Record], object_name: str) -> bytes:
    """The body of a call with many records, each of which stands for itself."""
    typed = ({"attributes": {"type": object_name}, **record} for record in records)
    return json_text({"allOrNone": False, "records": list(typed)})


def json_text(value: Any) -> bytes:
    """JSON with numbers as they stood."""
    return orjson.dumps(value, default=_as_it_stands, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """CSV as jobs take it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def rows(body: bytes) -> Iterator[dict[str, str]]:
    """The rows of a job's results."""
    csv.field_size_limit(LONGEST_CELL)
    for row in csv.DictReader(io.StringIO(body.decode("utf-8-sig", "replace"), newline="")):
        yield {name: value or "" for name, value in row.items() if isinstance(name, str)}


def columns(fields: Sequence[str]) -> list[str]:
    """The head of a table with these destination fields: a path through a relationship with dots between."""
    return [".".join(_steps(field)) for field in fields]


def cells(record: Mapping[str, Any], fields: Sequence[str], sobject: SObject) -> list[str]:
    """A record as a row of a table."""
    return [_cell(record, _steps(field), sobject) for field in fields]


def text(value: Any) -> str:
    """A value as a cell."""
    if value is None or value == "":
        return CLEARED  # in JSON an empty text clears, too
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json_text(value).decode()


def same(value: Any, key: Field) -> str:
    """What values of a key have in common that Salesforce takes for one."""
    shown = "" if value is None else str(value).strip()
    if key.type in NUMBERS:
        try:
            return format(Decimal(shown).normalize(), "f")
        except InvalidOperation:
            return shown
    if key.type in ("id", "reference"):
        return shown[:LONG_ID]
    return shown if key.case_sensitive else shown.lower()


@cache
def _steps(field: str) -> tuple[str, ...]:
    """A destination field's path."""
    return tuple(str(step) for step in paths.parse(field))


def _cell(record: Mapping[str, Any], steps: Sequence[str], sobject: SObject) -> str:
    value: Any = record
    for step in steps:
        if not isinstance(value, Mapping) or step not in value:
            reference = sobject.references.get(steps[0])
            return CLEARED if reference and reference.name in record else ""
        value = value[step]
    return text(value)


def _value(value: Any, kind: str) -> Any:
    if isinstance(value, list):
        return ";".join(text(each) for each in value if each is not None)  # several values of a picklist
    if isinstance(value, dict):
        return {name: _value(inner, "") for name, inner in value.items()}
    if kind == "datetime" and isinstance(value, str) and (at := MOMENT.fullmatch(value)):
        return f"{at[1]}.{(at[2] or '')[:3]:0<3}{at[3] or 'Z'}"
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="replace").decode()  # half a surrogate pair is no text
    return value


def _as_it_stands(value: Any) -> Any:
    if isinstance(value, _Number):
        return orjson.Fragment(str(value))
    raise TypeError(type(value).__name__)
