"""What is sent to an HTTP endpoint: one call for a batch, its URL, headers and body.

Pure. Records are texts that the engine wrote; they are put together, never parsed and written anew.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import orjson

from retl.destinations.base import Batch, Target
from retl.destinations.http.config import HttpConfig, HttpIdempotency, HttpOperation
from retl.destinations.http.reply import field_at
from retl.destinations.web.transport import Request
from retl.destinations.web.words import parsed
from retl.errors import DestinationError

KEY = "{key}"


@dataclass(frozen=True, slots=True)
class Call:
    """How one operation is called.

    Attributes:
        url: may contain {key}.
        key: path of the field that stands for {key}.
        frame: what stands before and after the records, which commas part.
    """

    method: str
    url: str
    key: str
    frame: tuple[bytes, bytes]
    idempotency: HttpIdempotency | None

    @property
    def name(self) -> str:
        """How messages name it: without login, query and values."""
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def of_record(self) -> bool:
        """Whether the URL names the record."""
        return KEY in self.url

    def request(self, batch: Batch) -> Request:
        """The request that carries a batch (raises ValueError for a record without a key that a URL can name)."""
        assert batch.payloads is not None
        url, headers, payloads = self.url, {}, batch.payloads
        if self.of_record:
            url = url.replace(KEY, quote(_key_text(payloads[0], self.key), safe=""))
        if self.idempotency and batch.ids:
            if self.idempotency.header:
                headers[self.idempotency.header] = _call_id(batch.ids)
            if self.idempotency.field:
                payloads = _with_field(payloads, self.idempotency.field, batch.ids)
        if self.method == "DELETE" and self.of_record:
            return Request(url, headers, None)  # the URL says it all, and RFC 9110 gives such a body no meaning
        head, tail = self.frame
        return Request(url, headers, head + b",".join(payloads) + tail)


def call_of(operation: str, config: HttpConfig, target: Target) -> Call:
    """How an operation is called (raises DestinationError)."""
    own: HttpOperation = getattr(config.operations, operation, None) or HttpOperation()
    url = (own.url or config.url).replace("{object}", quote(target.object, safe=""))
    if KEY in url and len(target.key) != 1:
        keys = ", ".join(target.key) or "none"
        raise DestinationError(f"config: {{key}} in a url stands for one field, and the mappings have as keys: {keys}")
    envelope = config.envelope if own.envelope is None else own.envelope
    head, tail = (b"[", b"]") if config.body == "array" else (b"", b"")
    if envelope:
        head, tail = b"{" + orjson.dumps(envelope) + b":" + head, tail + b"}"
    method = own.method or config.method
    return Call(method, url, target.key[0] if target.key else "", (head, tail), config.idempotency)


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


def _key_text(payload: bytes, path: str) -> str:
    """A record's key as it stands in a URL."""
    value = field_at(parsed(payload, exactly=True), path)
    if value is None or isinstance(value, dict | list) or str(value) in ("", ".", ".."):
        raise ValueError(f"{path} holds nothing that a URL can name")
    return str(value).lower() if isinstance(value, bool) else str(value)
