"""Rules that Python and the API server both enforce, in the same words.

A rule is CEL in the CRD (the API server refuses the manifest) and Python in the model (`retl validate` and the REST
interface refuse it before it travels). Both carry one message, so a person meets the same sentence everywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule.

    Attributes:
        cel: the expression that must hold; `self` is the value it stands on.
        message: what to change, for people.
    """

    cel: str
    message: str

    def as_schema(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        return {"rule": self.cel, "message": self.message}


def rules(*each: Rule) -> dict[str, Any]:
    """The JSON schema extension that carries these rules; for `json_schema_extra`."""
    return {"x-kubernetes-validations": [rule.as_schema() for rule in each]}


@dataclass(frozen=True, slots=True)
class Matches:
    """Annotation: text that must match a pattern from end to end, with a sentence for people if it does not.

    The pattern must mean the same to Python's `re` and to RE2, which CEL uses.
    """

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), **rules(self.rule)}

    @property
    def rule(self) -> Rule:
        """The same constraint in CEL."""
        return Rule(f"self.matches({cel_string(f'^(?:{self.pattern})$')})", self.message)

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise PydanticCustomError("retl_pattern", "{message}", {"message": f"{value!r}: {self.message}"})
        return value


def cel_string(text: str) -> str:
    """A CEL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def merged(*schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Schemas one over the other; rules add up, everything else is replaced by the later."""
    result: dict[str, Any] = {}
    for schema in schemas:
        validations = [*result.get("x-kubernetes-validations", ()), *schema.get("x-kubernetes-validations", ())]
        result |= schema
        if validations:
            result["x-kubernetes-validations"] = validations
    return result
