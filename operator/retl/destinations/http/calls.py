"""What is sent to an HTTP endpoint: one call for a batch, its URL, headers and body.

Pure. Records are texts that the engine wrote; they are put together, and parsed only where a template asks for a field.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote, unquote_plus, urlencode, urlsplit

import orjson

from retl.destinations.base import Batch, Target
from retl.destinations.http.config import HttpConfig, HttpIdempotency
from retl.destinations.http.shapes import HEADER_TEXT
from retl.destinations.http.templates import (
    OF_BODY,
    Body,
    OfCall,
    Slot,
    compiled,
    exactly,
    field_of,
    form_fields,
    names_in,
    rendered,
    text,
)
from retl.destinations.web.transport import Request
from retl.errors import DestinationError

CONTENT_TYPES = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "form": "application/x-www-form-urlencoded",
}
AS_IT_IS: Body = (Slot("{record}"),)


@dataclass(frozen=True, slots=True)
class Call:
    """How one operation is called.

    Attributes:
        url, query, headers: may hold placeholders.
        record: what each record is sent as.
        body: what stands around the records.
        known: what the placeholders of all calls stand for.
    """

    method: str
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    record: Body
    body: Body
    format: Literal["json", "ndjson", "form"]
    idempotency: HttpIdempotency | None
    known: OfCall

    @property
    def name(self) -> str:
        """How messages name it: without login, query and values."""
        return endpoint_name(self.method, self.url.replace("{object}", quote(self.known.object, safe="")))

    @property
    def of_record(self) -> bool:
        """Whether the URL names the record."""
        return "{key}" in self.url or "{record." in self.url

    def request(self, batch: Batch) -> Request:
        """The request that carries a batch (raises ValueError for a record that lacks what the call is to name)."""
        assert batch.payloads is not None
        headers, payloads = {}, batch.payloads
        if self.idempotency and batch.ids:
            if self.idempotency.header:
                headers[self.idempotency.header] = _call_id(batch.ids)
            if self.idempotency.field:
                payloads = _with_field(payloads, self.idempotency.field, batch.ids)
        known = replace(self.known, call_id=_call_id(batch.ids) if batch.ids else "", payloads=payloads)
        url = text(self.url, known, "a URL", _part_of_url)
        if self.query:
            parameters = {name: text(held, known, "a query") for name, held in self.query.items()}
            url = with_query(url, parameters)
        headers |= {name: text(held, known, "a header", _line) for name, held in self.headers.items()}
        if self.method == "DELETE" and self.of_record:
            return Request(url, headers, None)  # the URL says it all, and RFC 9110 gives such a body no meaning
        return Request(url, headers, self._content(known))

    def _content(self, known: OfCall) -> bytes:
        records = known.payloads
        if self.record != AS_IT_IS:
            records = [rendered(self.record, replace(known, payloads=(each,))) for each in records]
        if self.format == "ndjson":  # a line break outside of texts is blank, and within them it is written as \n
            return b"".join(record.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n" for record in records)
        content = b"".join(_put_in(part, records, known) for part in self.body)
        return urlencode(form_fields(exactly(content))).encode() if self.format == "form" else content


def call_of(operation: str, config: HttpConfig, target: Target) -> Call:
    """How an operation is called (raises DestinationError)."""
    own = config.own(operation)
    call = Call(
        method=own.method or config.method,
        url=own.url or config.url,
        query=config.query if own.query is None else own.query,
        headers=_headers(config.format, config.headers, own.headers),
        record=compiled(config.record(operation)),
        body=compiled(config.whole(operation)),
        format=config.format,
        idempotency=config.idempotency,
        known=OfCall(target.object, operation, target.key[0] if target.key else ""),
    )
    texts = " ".join([call.url, *call.query.values(), *call.headers.values()])
    names = {*OF_BODY.findall(texts), *names_in(call.body), *names_in(call.record)}
    if "key" in names and len(target.key) != 1:
        keys = ", ".join(target.key) or "none"
        raise DestinationError(f"config: {{key}} in a url stands for one field, and the mappings have as keys: {keys}")
    sent = target.key if operation == "delete" and target.mode == "mirror" else target.fields
    for name in sorted(name for name in names if name.startswith("record.")):
        if not any(_holds(field, field_of(name, "")) for field in sent):
            keys_only = ", of which deletes have the keys only" if sent is target.key else ""
            raise DestinationError(
                f"config: no mapping writes {{{name}}}; records have {', '.join(sent)}{keys_only}; correct the template"
            )
    return call


def endpoint_name(method: str, url: str) -> str:
    """How messages name a call: without login, query and values."""
    parts = urlsplit(url)
    return f"{method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """A URL with further parameters in its query, which take the place of those of their names."""
    parts = urlsplit(url)
    kept = [p for p in parts.query.split("&") if p and unquote_plus(p.partition("=")[0]) not in parameters]
    return parts._replace(query="&".join([*kept, urlencode(parameters, quote_via=quote)])).geturl()


def _headers(form: str, base: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Those of an operation; of two with one name, whatever its case, the more special one."""
    merged: dict[str, tuple[str, str]] = {}
    for name, held in (("Content-Type", CONTENT_TYPES[form]), *base.items(), *own.items()):
        merged[name.lower()] = (name, held)
    return dict(merged.values())


def _put_in(part: bytes | Slot, records: Sequence[bytes], known: OfCall) -> bytes:
    """Part of a body; what stands for the records becomes what they are sent as."""
    if isinstance(part, bytes):
        return part
    if part.text == "{records}":
        return b"[" + b",".join(records) + b"]"
    return records[0] if part.text == "{record}" else rendered((part,), known)


def _holds(field: str, path: str) -> bool:
    """Whether a record that has one field has something at a path."""
    return field == path or field.startswith((f"{path}.", f"{path}[")) or path.startswith((f"{field}.", f"{field}["))


def _part_of_url(value: str) -> str | None:
    return None if value in (".", "..") else quote(value, safe="")


def _line(value: str) -> str | None:
    return value if re.fullmatch(HEADER_TEXT, value) else None


def _call_id(ids: Sequence[str]) -> str:
    """The id of a call: its record's, or a digest of its records' in order."""
    return ids[0] if len(ids) == 1 else hashlib.sha256("\0".join(ids).encode()).hexdigest()


def _with_field(payloads: Sequence[bytes], field: str, ids: Sequence[str]) -> list[bytes]:
    """The records, each with its id in a field before its own."""
    name = b"{" + orjson.dumps(field) + b":"
    return [
        name + orjson.dumps(id_) + (b"," if len(payload) > 2 else b"") + payload[1:]
        for payload, id_ in zip(payloads, ids, strict=True)
    ]
