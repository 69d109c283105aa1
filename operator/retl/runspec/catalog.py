"""What is there at the two ends, as a check found it: objects and their fields. Kept in the state database.

The controller reads it to stop a sync whose mappings name what does not exist before a run stumbles over it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, Literal

from pydantic import Field

from retl.resources.fields import StatusModel

RowSetKind = Literal["SyncModel", "ReverseETLSync"]

MAX_OBJECTS, MAX_FIELDS = 2_000, 2_000
"""Most objects of a catalog, and fields of an object."""
MAX_BYTES = 8 * 2**20
"""Most bytes of a catalog as JSON."""
MAX_COLUMNS = 200_000
"""Most columns that a connector lists, of all tables together; more do not fit into a catalog."""
CHANGES_TOLD = 20
"""Of more changes than this, only the first are told one by one."""


class CatalogField(StatusModel):
    """A column of a row set, or a field of a destination's object.

    Attributes:
        type: in the words of the other end; empty if it says nothing.
        required: a new record without it is refused.
    """

    name: str
    type: str = ""
    required: bool = False
    read_only: bool = False


class CatalogObject(StatusModel):
    """An object of a destination; or a row set of a source, by the kind and name of what defines it.

    Attributes:
        name: of the object; of a row set `SyncModel/NAME` or `ReverseETLSync/NAME`, of a table its own name.
        problem: why its fields could not be read; it then has none.
        listed: the other end lists it; False for one that is there because somebody asked for it by name.
        definition: digest of the query, of a row set.
    """

    name: str
    fields: list[CatalogField] = Field(default_factory=list)
    problem: str = ""
    listed: bool = True
    definition: str = ""


class Catalog(StatusModel):
    """Everything that one check found.

    Attributes:
        cut: there is more than a catalog may hold; what is missing is not known.
    """

    objects: list[CatalogObject] = Field(default_factory=list)
    cut: bool = False

    def object(self, name: str) -> CatalogObject | None:
        """The object of that name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, CatalogObject]:
        return {each.name: each for each in self.objects}

    def digest(self) -> str:
        """The same for the same catalog, 16 hexadecimal digits."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()[:16]


def listed(rows: Iterable[tuple[Any, ...]]) -> list[CatalogObject]:
    """Tables, of rows with table, column, type, required and read-only; those of a table follow each other."""
    return [
        CatalogObject(
            name=name,
            fields=[
                CatalogField(name=column, type=kind, required=bool(required), read_only=bool(read_only))
                for _, column, kind, required, read_only in columns
            ],
        )
        for name, columns in groupby(rows, lambda row: row[0])
    ]


def bounded(asked: Sequence[CatalogObject], listed: Sequence[CatalogObject]) -> Catalog:
    """A catalog of what was asked for and, as far as there is room, of what the other end lists; by name.

    Args:
        asked: stands for the listed object of the same name.
    """
    known = {each.name for each in listed}
    asked = [each.model_copy(update={"listed": each.name in known}) for each in asked]
    names = {each.name for each in asked}
    rest = sorted((each for each in listed if each.name not in names), key=lambda each: each.name)
    kept: list[CatalogObject] = []
    room = MAX_BYTES
    for each in [*sorted(asked, key=lambda each: each.name), *rest]:
        each = _of_bounded_width(each)
        room -= len(each.model_dump_json(by_alias=True))
        if room < 0 or len(kept) == MAX_OBJECTS:
            return Catalog(objects=kept, cut=True)
        kept.append(each)
    return Catalog(objects=kept)


def _of_bounded_width(found: CatalogObject) -> CatalogObject:
    if len(found.fields) <= MAX_FIELDS:
        return found
    problem = f"it has {len(found.fields)} fields, and a catalog holds at most {MAX_FIELDS} of an object"
    return found.model_copy(update={"fields": [], "problem": problem})


def changes(before: Catalog, after: Catalog) -> list[str]:
    """What became different at the other end, a few words each.

    What the manifests made different is left out: objects that are asked for since, and queries that are others now.
    """
    found = list(_changes(before, after))
    more = len(found) - CHANGES_TOLD
    return [*found[:CHANGES_TOLD], *([f"and {more} more"] if more > 0 else [])]


def _changes(before: Catalog, after: Catalog) -> Iterator[str]:
    for old in before.objects:
        new = after.object(old.name)
        if new is None:
            if old.listed and not after.cut:
                yield f"{old.name} is gone"
        elif new.definition == old.definition:
            yield from _differences(old, new)
    for new in after.objects:
        if new.listed and before.object(new.name) is None and not before.cut:
            yield f"{new.name} is new"


def _differences(old: CatalogObject, new: CatalogObject) -> Iterator[str]:
    if new.problem or old.problem:
        if new.problem and not old.problem:
            yield f"{new.name} cannot be read any more"
        elif old.problem and not new.problem:
            yield f"{new.name} can be read again"
        return
    fields, known = {f.name: f for f in new.fields}, {f.name: f for f in old.fields}
    for name, field in known.items():
        if name not in fields:
            yield f"{new.name}.{name} is gone"
        elif (now := fields[name]) != field:
            yield f"{new.name}.{name} {_field_change(field, now)}"
    yield from (f"{new.name}.{name} is new" for name in fields if name not in known)


def _field_change(before: CatalogField, now: CatalogField) -> str:
    if before.type != now.type:
        return f"was {before.type or 'without a type'} and is {now.type or 'without a type'}"
    if before.read_only != now.read_only:
        return "cannot be written any more" if now.read_only else "can be written now"
    return "is required now" if now.required else "is no longer required"
