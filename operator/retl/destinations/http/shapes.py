"""Texts that settings are made of: URLs with placeholders, names of headers, paths into JSON."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from retl.destinations.http.paths import json_path, list_path
from retl.destinations.http.templates import OF_TEXT
from retl.resources.rules import Matches

HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HEADER_TEXT = r"[\x20-\x7e\t]*"
OF_LOOKUP = re.compile(r"\{(object|matchField|returnField|values?)\}")
OF_FIELDS = re.compile(r"\{(object)\}")


def _endpoint(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    try:
        parts = urlsplit(value)
        if not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("is not a URL; write for example https://crm.example.com:8443/api/{object}") from None
    if "{" in parts.netloc:
        raise ValueError("may have placeholders in its path and query, but not in its host")
    return value


def _of_records(value: str) -> str:
    return _only(value, OF_TEXT, "{object}, {operation}, {callId}, {key} and {record.PATH}")


def _of_lookup(value: str) -> str:
    return _only(value, OF_LOOKUP, "{object}, {matchField}, {returnField}, {value} and {values}")


def _of_fields(value: str) -> str:
    return _only(value, OF_FIELDS, "{object}", "is the only placeholder")


def _only(value: str, placeholder: re.Pattern[str], known: str, are: str = "are the only placeholders") -> str:
    if set("{}") & set(placeholder.sub("", value)):
        raise ValueError(f"{known} {are}")
    return value


def _json_path(value: str) -> str:
    json_path(value)
    return value


def _list_path(value: str) -> str:
    list_path(value)
    return value


def _header(value: str) -> str:
    if not re.fullmatch(HEADER_TEXT, value):
        raise ValueError("values of headers are printable ASCII on one line")
    return value


StatusCode = Annotated[int, Field(ge=100, le=599)]
Url = Annotated[str, AfterValidator(_endpoint)]
RecordsText = Annotated[str, AfterValidator(_of_records)]
RecordsUrl = Annotated[Url, AfterValidator(_of_records)]
LookupText = Annotated[str, AfterValidator(_of_lookup)]
LookupUrl = Annotated[Url, AfterValidator(_of_lookup)]
FieldsUrl = Annotated[Url, AfterValidator(_of_fields)]
HeaderName = Annotated[
    str, Matches(HEADER_NAME, "a header's name has letters, digits, '-' and no blanks, such as Idempotency-Key")
]
HeaderText = Annotated[str, AfterValidator(_header)]
ValuePath = Annotated[str, AfterValidator(_json_path)]
ListPath = Annotated[str, AfterValidator(_list_path)]
