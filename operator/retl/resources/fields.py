"""Field types shared by the kinds: the base model, names, durations, limits.

Each type carries its own JSON schema, so the CRD, `retl validate` and the controller refuse the same things.
"""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Base of everything in a manifest: camelCase outside, unknown fields refused, immutable once read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        serialize_by_alias=True,
    )


class StatusModel(Model):
    """Base of status: written by this program only, so fields of a newer version are read past."""

    model_config = ConfigDict(extra="ignore")


_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"


def parse_duration(value: Any) -> timedelta:
    """Read `1h30m`, `45s`, `30d`; raise ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not value or not re.fullmatch(_DURATION, value):
        raise ValueError(f"{value!r} is not a duration; write for example 30s, 15m, 1h30m or 7d")
    return timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([dhms])", value)))


def format_duration(value: timedelta) -> str:
    """Write a duration in the form that `parse_duration` reads."""
    rest, text = int(value.total_seconds()), ""
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "minLength": 2, "maxLength": 32, "pattern": _DURATION}),
]

_LIMIT = r"^(100|[0-9]{1,2})%$"


def _parse_limit(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(_LIMIT, value):
        return value
    raise ValueError(f'{value!r} is not a limit; write a number of records (500) or a percentage ("10%")')


Limit = Annotated[
    int | str,
    BeforeValidator(_parse_limit),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
]

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
DnsName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Column = Annotated[str, Field(min_length=1, max_length=255)]
ConnectorName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z][a-z0-9_-]*$")]


class NameRef(Model):
    """A reference to another object in the same namespace."""

    name: DnsName


class Credentials(Model):
    """Where the connector's secrets are; each key of the Secret is one credential field."""

    secret_ref: NameRef
