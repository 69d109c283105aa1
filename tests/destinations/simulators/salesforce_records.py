"""The records of a simulated Salesforce org: one object, Account, with fields of the kinds that can go wrong.

Codes and messages are those that real orgs answer with; see StatusCode in the SOAP API Developer Guide.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

Record = dict[str, Any]

KEY = "External_Id__c"
INDUSTRIES = ("Banking", "Energy")
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "Id": {"type": "id", "createable": False, "updateable": False, "idLookup": True, "length": 18},
    KEY: {"type": "string", "length": 40, "externalId": True, "idLookup": True, "unique": True},
    "Name": {"type": "string", "length": 40, "nillable": False},
    "Industry": {
        "type": "picklist",
        "restrictedPicklist": True,
        "picklistValues": [{"value": value, "active": True} for value in INDUSTRIES],
    },
    "Interests__c": {"type": "multipicklist"},
    "Employees": {"type": "int"},
    "Active__c": {"type": "boolean", "nillable": False, "defaultedOnCreate": True},
    "Since__c": {"type": "datetime"},
    "Number__c": {"type": "double", "externalId": True, "idLookup": True},
    "Score__c": {"type": "double", "createable": False, "updateable": False, "calculated": True},
    "ParentId": {"type": "reference", "referenceTo": ["Account"], "relationshipName": "Parent"},
}
DEFAULTS = {"createable": True, "updateable": True, "nillable": True, "length": 0, "relationshipName": None}
INDEXED = frozenset(name for name, field in FIELDS.items() if field.get("externalId"))


class Accounts:
    """Records by their Id.

    Attributes:
        locked: how often records are locked, by their key, before they are not.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.locked: dict[str, int] = {}
        self._index: dict[tuple[str, str], dict[str, None]] = {}
        self._numbers = itertools.count(1)

    def put(self, records: Iterable[Record]) -> None:
        """Put records there."""
        for record in records:
            self._change(self._new(), record)

    def having(self, name: str, value: Any) -> list[str]:
        """Ids of the records that have a value in a field that they can be found by."""
        if FIELDS[name]["type"] == "id":
            return [identity for identity in self.records if same("Id", identity) == same("Id", value)]
        return [] if value in (None, "") else list(self._index.get((name, same(name, value)), ()))

    def _new(self) -> str:
        identity = f"001{next(self._numbers):012}AAA"
        self.records[identity] = {"Id": identity}
        return identity

    def _change(self, identity: str, values: Record) -> None:
        record = self.records[identity]
        for name in INDEXED & values.keys():
            self._index.get((name, same(name, record.get(name))), {}).pop(identity, None)
            self._index.setdefault((name, same(name, values[name])), {})[identity] = None
        record |= {name: None if value == "" else value for name, value in values.items()}

    def remove(self, identity: str) -> list[Record]:
        """Delete a record; what is wrong with that."""
        if identity not in self.records:
            return [error("ENTITY_IS_DELETED", "entity is deleted")]
        if self.records[identity].get("Name") == "kept":
            return [error("DELETE_FAILED", "Your attempt to delete it could not be completed because it has cases")]
        self._change(identity, dict.fromkeys(INDEXED))
        del self.records[identity]
        return []

    def write(
        self, operation: str, key: str, values: Record, identity: str, seen: set[str]
    ) -> tuple[str, list[Record]]:
        """Write a record; its Id, or what is wrong with it.

        Args:
            key: of an upsert, the field that the record is found by.
            identity: of an update, its Id.
            seen: values of the key that the call or job has brought before.
        """
        if operation == "upsert":
            identity, errors = self._found(key, values, seen)
            if errors:
                return "", errors
        elif operation == "update" and identity not in self.records:
            return "", [error("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")]
        elif operation == "insert" and (others := self.having(KEY, values.get(KEY))):
            words = f"duplicate value found: {KEY} duplicates value on record with id: {others[0]}"
            return "", [error("DUPLICATE_VALUE", words)]
        if errors := self._wrong(values, new=not identity):
            return "", errors
        locked = str(values.get(KEY))
        if self.locked.get(locked, 0) > 0:
            self.locked[locked] -= 1
            return "", [error("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")]
        identity = identity or self._new()
        self._change(identity, values)
        return identity, []

    def _found(self, key: str, values: Record, seen: set[str]) -> tuple[str, list[Record]]:
        """The Id of the record that an upsert means, empty if there is none; or why nobody can tell."""
        if not values.get(key):
            return "", [error("MISSING_ARGUMENT", f"{key} not specified")]
        if (value := same(key, values[key])) in seen:
            return "", [error("DUPLICATE_VALUE", f"Duplicate external id specified: {values[key]}", key)]
        seen.add(value)
        found = self.having(key, values[key])
        if len(found) > 1:
            return "", [error("DUPLICATE_EXTERNAL_ID", f"{key}: more than one record found for external id field")]
        return (found[0] if found else ""), []

    def _wrong(self, values: Record, *, new: bool) -> list[Record]:
        """What is wrong with the values of a record."""
        for name, value in values.items():
            kind = FIELDS.get(name) or ({} if name == "Parent" else None)
            if kind is None:
                return [error("INVALID_FIELD", f"No such column '{name}' on sobject of type Account")]
            if not kind.get("createable", True):
                words = f"Unable to create/update fields: {name}. Please check the security settings of this field"
                return [error("INVALID_FIELD_FOR_INSERT_UPDATE", words, name)]
            if isinstance(value, str) and kind.get("length") and len(value) > kind["length"]:
                words = f"{name}: data value too large: {value} (max length={kind['length']})"
                return [error("STRING_TOO_LONG", words, name)]
            if name == "Industry" and value and value not in INDUSTRIES:
                words = f"bad value for restricted picklist field: {value}"
                return [error("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", words, name)]
            if name == "Parent" and value is not None and not self.having(KEY, value[KEY]):
                words = f"Foreign key external ID: {value[KEY]} not found for field {KEY} in entity Account"
                return [error("INVALID_FIELD", words)]
        if values.get("Name") == "refused":
            return [error("FIELD_CUSTOM_VALIDATION_EXCEPTION", "This name is not wanted", "Name")]
        if not values.get("Name") and (new or "Name" in values):
            return [error("REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", "Name")]
        return []


def error(code: str, message: str, *fields: str) -> Record:
    """What is wrong with a record."""
    return {"statusCode": code, "message": message, "fields": list(fields)}


def same(name: str, value: Any) -> str:
    """What values of a field have in common that Salesforce takes for one."""
    if value is None:
        return ""
    if FIELDS[name]["type"] in ("double", "int"):
        return str(float(value))
    return str(value)[:15] if FIELDS[name]["type"] == "id" else str(value).lower()


def typed(name: str, cell: str) -> Any:
    """The value of a cell of a job."""
    if cell == "#N/A":
        return None
    kind = FIELDS.get(name, {}).get("type")
    return cell == "true" if kind == "boolean" else float(cell) if kind in ("double", "int") else cell


def nested(values: Record) -> Record:
    """A row of a job as a record, relationships as objects."""
    found: Record = {}
    for name, value in values.items():
        outer, _, inner = name.partition(".")
        found[outer] = {inner: value} if inner else value
    return found
