"""Which columns of the query are used, and as what: allColumns written out, names looked up.

Pure: the manifest's mappings and the query's columns go in, mappings and positions come out.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from retl.errors import InvalidInput
from retl.resources.sync import Mapping
from retl.runspec.paths import escaped
from retl.runspec.spec import RunSpec

COLUMNS_MAX = 2000
"""Columns that a query may return."""
FIELDS_MAX = 500
"""Destination fields of a sync."""
MESSAGE_MAX = 1500


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column and the manifest's field that asks for it."""

    name: str
    where: str


def expand(spec: RunSpec, names: Sequence[str], payload: Literal["json", "arrow"]) -> tuple[Mapping, ...]:
    """All mappings of a run, those of allColumns written out.

    A mapping of the manifest wins over a column that it reads or whose name it writes. If no mapping is marked as key,
    those that read the primary key's columns are the key.

    Args:
        names: columns that the query returns.
        payload: what the destination takes; a column's name is no path.
    Raises:
        InvalidInput: too many columns or fields; an excluded column that there is not; a primary key left out.
    """
    if len(names) > COLUMNS_MAX:
        raise InvalidInput(
            f"the query returns {len(names)} columns; at most {COLUMNS_MAX} can be read: select those that you need"
        )
    if spec.all_columns is None:
        return tuple(spec.mappings)
    if missing := list(
        _missing([Wanted(n, f"allColumns.exclude[{i}]") for i, n in enumerate(spec.all_columns.exclude)], names)
    ):
        raise InvalidInput("; ".join(missing)[:MESSAGE_MAX])
    taken = {m.source for m in spec.mappings} | {*spec.all_columns.exclude}
    fields = {m.destination for m in spec.mappings}
    named = ((name, escaped(name) if payload == "json" else name) for name in names if name not in taken)
    added = [Mapping.model_construct(source=name, destination=to) for name, to in named if to not in fields]
    mappings = [*spec.mappings, *added]
    if len(mappings) > FIELDS_MAX:
        raise InvalidInput(
            f"allColumns: {len(mappings)} fields would be written, and {FIELDS_MAX} is the most: exclude columns, or "
            "select fewer"
        )
    if spec.mode == "append" or any(m.key for m in mappings):
        return tuple(mappings)
    return tuple(_keyed(mappings, spec.primary_key))


def positions(wanted: Sequence[Wanted], names: Sequence[str]) -> dict[str, int]:
    """Position in the query's result of each column that is used, in the order of `wanted`.

    Raises:
        InvalidInput: a column that the query does not return, or returns twice.
    """
    if problems := list(_missing(wanted, names)):
        raise InvalidInput("; ".join(problems)[:MESSAGE_MAX])
    return {each.name: names.index(each.name) for each in wanted}


def unknown_column(name: str, names: Sequence[str]) -> str:
    """What is said of a column that the query does not return."""
    guess = [each for each in names if each.lower() == name.lower()] or get_close_matches(name, names, 1)
    hint = f'did you mean "{guess[0]}"? ' if guess else ""
    return f'unknown column "{name}"; {hint}the query returns: {", ".join(names)}'


def _missing(wanted: Sequence[Wanted], names: Sequence[str]) -> Iterator[str]:
    counts = Counter(names)
    seen = set()
    for name, where in ((each.name, each.where) for each in wanted):
        if name in seen:
            continue
        seen.add(name)
        if counts[name] == 0:
            yield f"{where}: {unknown_column(name, names)}"
        elif counts[name] > 1:
            yield f'{where}: the query returns {counts[name]} columns named "{name}"; give them other names'


def _keyed(mappings: Sequence[Mapping], primary_key: Collection[str]) -> Iterator[Mapping]:
    sources = {m.source for m in mappings}
    if lost := [name for name in primary_key if name not in sources]:
        raise InvalidInput(
            f'allColumns: no mapping is marked key, and column "{lost[0]}" of the primary key is mapped to no field; '
            "map it, or mark another mapping with key: true"
        )
    for mapping in mappings:
        yield mapping.model_copy(update={"key": True}) if mapping.source in primary_key else mapping
