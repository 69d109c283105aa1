"""What an org's describe says of an object: which fields there are, what may be written, by what a record is found.

Pure. See the REST API Developer Guide, sObject Describe, and DescribeSObjectResult in the SOAP API Developer Guide.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from retl.destinations.base import FieldInfo, Target
from retl.errors import DestinationError
from retl.runspec import paths

NUMBERS = frozenset({"double", "currency", "percent", "int", "long"})
CREATES = frozenset({"upsert", "insert", "append", "mirror"})
UPDATES = frozenset({"upsert", "update", "mirror"})
DELETES = frozenset({"delete", "mirror"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object.

    Attributes:
        type: as the vendor calls it: string, picklist, reference, …
        id_lookup: a record can be found by it in an upsert.
        needed: a new record without it is refused.
        shown: the type with what limits it, for people.
    """

    name: str
    type: str
    createable: bool = False
    updateable: bool = False
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    id_lookup: bool = False
    needed: bool = False
    relationship: str = ""
    shown: str = ""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Field":
        """As describe says it."""
        kind = str(said.get("type", ""))
        createable = bool(said.get("createable"))
        given = said.get("nillable") or said.get("defaultedOnCreate") or kind == "boolean"
        return cls(
            name=str(said["name"]),
            type=kind,
            createable=createable,
            updateable=bool(said.get("updateable")),
            unique=bool(said.get("unique")) or kind == "id",
            case_sensitive=bool(said.get("caseSensitive")),
            external_id=bool(said.get("externalId")),
            id_lookup=bool(said.get("idLookup")),
            needed=createable and not given,
            relationship=str(said.get("relationshipName") or ""),
            shown=_shown(kind, said),
        )

    def read_only(self, mode: str) -> bool:
        """Whether it cannot be written in that mode. What records are found by need not be writable."""
        if self.type == "id":
            return mode not in ("update", "delete")
        missing = (mode in CREATES and not self.createable) or (mode in UPDATES and not self.updateable)
        return missing and not self.id_lookup


@dataclass(frozen=True, slots=True)
class SObject:
    """An object, with the fields that the user may see.

    Attributes:
        references: reference fields by the relationship that a mapping such as `Account.Number__c` goes through.
    """

    name: str
    createable: bool
    updateable: bool
    deletable: bool
    fields: Mapping[str, Field]
    references: Mapping[str, Field]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "SObject":
        """As describe says it."""
        fields = {field.name: field for field in map(Field.of, said.get("fields", ()))}
        return cls(
            name=str(said["name"]),
            createable=bool(said.get("createable")),
            updateable=bool(said.get("updateable")),
            deletable=bool(said.get("deletable")),
            fields=fields,
            references={field.relationship: field for field in fields.values() if field.relationship},
        )

    def described(self, mode: str) -> list[FieldInfo]:
        """Its fields, and its relationships, for a sync in that mode."""
        fields = [
            FieldInfo(each.name, each.shown, each.read_only(mode), each.needed and mode in CREATES)
            for each in self.fields.values()
        ]
        through = [
            FieldInfo(name, f"relationship of {field.name}", field.read_only(mode))
            for name, field in self.references.items()
            if name not in self.fields
        ]
        return [*fields, *through]

    def key_for(self, target: Target) -> Field | None:
        """The field that records are found by; None in an append, which finds none (raises DestinationError)."""
        if target.mode == "append" and not target.key:
            return None
        if len(target.key) != 1:
            raise DestinationError(
                f"a record of {self.name} is found by one field, and {len(target.key)} mappings have key: true "
                f"({', '.join(target.key)}); keep one, an external id"
            )
        [name] = target.key
        key = self.fields.get(name)
        if key is None:
            raise DestinationError(f"{self.name} has no field {name!r}{self._hint(name)}")
        if target.mode != "append":
            self._check_key(key, target.mode)
        return key

    def check(self, target: Target) -> None:
        """Raise DestinationError if the object, or a mapped field, cannot be written in the target's mode."""
        wanted = {"create": (CREATES, self.createable), "update": (UPDATES, self.updateable)}
        wanted["delete"] = (DELETES, self.deletable)
        for verb, (modes, may) in wanted.items():
            if target.mode in modes and not may:
                raise DestinationError(
                    f"the integration user may not {verb} records of {self.name}; correct its permissions, or the mode"
                )
        if target.mode != "delete":
            for problem in self._problems(target):
                raise DestinationError(problem)

    def _problems(self, target: Target) -> Iterator[str]:
        for path in target.fields:
            if path in target.key:
                continue
            name = str(paths.parse(path)[0])
            field = self.fields.get(name) or self.references.get(name)
            if field is None:
                yield f"{self.name} has no field {name!r}{self._hint(name)}"
            elif field.read_only(target.mode):
                yield f"{self.name}.{name} cannot be written in mode {target.mode}; take it out of the mappings"

    def _check_key(self, key: Field, mode: str) -> None:
        if key.type == "id":
            if mode not in ("update", "delete"):
                raise DestinationError(f"mode {mode} cannot find records by Id; map an external id with key: true")
        elif not key.id_lookup and not key.external_id:
            raise DestinationError(f"{self.name}.{key.name} is no external id; records cannot be found by it")
        elif mode == "insert" and not key.unique:
            raise DestinationError(
                f"{self.name}.{key.name} is not unique, so that nobody sees which records exist; make it unique, "
                "or use mode upsert"
            )

    def _hint(self, name: str) -> str:
        close = get_close_matches(name, self.fields, 1, cutoff=0.5)
        return f"; did you mean {close[0]!r}?" if close else ", or the integration user may not see it"


def _shown(kind: str, said: Mapping[str, Any]) -> str:
    """A type as people read it: string(255), reference(Account), picklist(restricted)."""
    of: Sequence[str] = ()
    if kind == "reference":
        of = said.get("referenceTo") or ()
    elif kind in ("picklist", "multipicklist"):
        of = ("restricted",) if said.get("restrictedPicklist") else ()
    elif kind not in NUMBERS and said.get("length"):
        of = (str(said["length"]),)
    return f"{kind}({', '.join(map(str, of))})" if of else kind
