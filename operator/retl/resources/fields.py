"""Field types shared by the kinds: the base model, names, durations, limits.

Each type carries its own JSON schema, so the CRD, `retl validate` and the controller refuse the same things.
"""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from retl.resources.rules import Matches, Rule, cel_string, rules


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
_DURATION = r"^([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
_DURATION_FORM = "write a duration such as 30s, 15m, 1h30m or 7d"


def parse_duration(value: Any) -> timedelta:
    """Read `1h30m`, `45s`, `30d`; raise ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not value or not re.fullmatch(_DURATION, value):
        raise ValueError(f"{value!r}: {_DURATION_FORM}")
    return timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([dhms])", value)))


def format_duration(value: timedelta) -> str:
    """Write a duration in the form that `parse_duration` reads."""
    rest, text = int(value.total_seconds()), ""
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


_POSITIVE = Rule("self.matches('[1-9]')", "must be longer than nothing: write for example 30s")


def _longer_than_nothing(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError(_POSITIVE.message)
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    AfterValidator(_longer_than_nothing),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 2,
            "maxLength": 32,
            **rules(Rule(f"self.matches({cel_string(_DURATION)})", _DURATION_FORM), _POSITIVE),
        }
    ),
]
"""A positive length of time, in whole seconds: `90s`, `1h30m`."""

_PERCENT = r"^(100|[0-9]{1,2})%$"
_LIMIT_FORM = "write a number of records (500) or a percentage (10%)"


def _parse_limit(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(_PERCENT, value):
        return value
    raise ValueError(f"{value!r}: {_LIMIT_FORM}")


Limit = Annotated[
    int | str,
    BeforeValidator(_parse_limit),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 10,
            **rules(Rule(f"type(self) == string ? self.matches({cel_string(_PERCENT)}) : self >= 0", _LIMIT_FORM)),
        }
    ),
]
"""A number of records, or a percentage of those written before: `500`, `10%`."""


_LAG_FORM = "write a length of time (10m) for a column of times, or a number (1000) for a column of numbers"


def _parse_lag(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and re.fullmatch(_DURATION, value):
        return parse_duration(value)
    raise ValueError(f"{value!r}: {_LAG_FORM}")


Lag = Annotated[
    int | timedelta,
    BeforeValidator(_parse_lag),
    PlainSerializer(lambda value: format_duration(value) if isinstance(value, timedelta) else value),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            **rules(Rule(f"type(self) == string ? self.matches({cel_string(_DURATION)}) : self >= 0", _LAG_FORM)),
        }
    ),
]
"""How far to reach back: `10m` over a column of times, `1000` over a column of numbers."""


def _quantity(suffixes: str, message: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """A Kubernetes quantity with one of the suffixes; a bare number may stand without quotes."""
    pattern = rf"^[0-9]{{1,15}}(\.[0-9]{{1,3}})?({suffixes})?$"

    def parse(value: Any) -> str:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str) and re.fullmatch(pattern, text):
            return text
        raise ValueError(f"{value!r}: {message}")

    rule = Rule(f"type(self) == string ? self.matches({cel_string(pattern)}) : self >= 0", message)
    return BeforeValidator(parse), WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 32, **rules(rule)})


_CORES = _quantity("m", "write a number of cores, such as 2 or 500m")
Cores = Annotated[str, _CORES[0], _CORES[1]]
"""A Kubernetes quantity of compute."""

_BYTES = _quantity("Ki|Mi|Gi|k|M|G", "write a number of bytes, such as 512Mi or 1Gi")
Bytes = Annotated[str, _BYTES[0], _BYTES[1]]
"""A Kubernetes quantity of memory."""


_RFC3339 = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"


def _moment(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and re.fullmatch(_RFC3339, value)):
        return value
    raise ValueError(f"{value!r}: write a moment with its zone, such as 2026-01-31T23:59:00Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
"""A point in time that a person writes: RFC 3339, with its zone."""

Flag = Annotated[bool, Strict()]
"""true or false; not "yes", not 1: the API server would refuse those."""

Number = Annotated[int, Strict()]
"""A whole number; not "5": the API server would refuse that."""

_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DnsName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        rf"{_DNS_LABEL}(\.{_DNS_LABEL})*",
        "a name has lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit",
    ),
]
Column = Annotated[str, Field(min_length=1, max_length=255)]
ConnectorName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Matches("[a-z][a-z0-9_-]*", "a connector's name has lower-case letters, digits, '_' and '-', such as postgres"),
]


class NameRef(Model):
    """A reference to another object in the same namespace."""

    name: DnsName = Field(description="Name of the object, in the same namespace.")


class Credentials(Model):
    """Where the connector's secrets are; each key of the Secret is one credential field."""

    secret_ref: NameRef = Field(description="The Secret with the login, one key a credential field.")
