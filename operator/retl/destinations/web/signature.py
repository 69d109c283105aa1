"""Signs calls with a shared key, as webhooks and some APIs ask for it (HMAC, RFC 2104)."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from retl.destinations.web.transport import Request
from retl.errors import InvalidInput

PLACEHOLDER = re.compile(r"\{(timestamp|method|path|body)\}")


@dataclass(frozen=True, slots=True)
class Signature:
    """How calls are signed.

    Attributes:
        header: where the signature stands.
        value: what that header holds; {signature} and {timestamp} are put in.
        content: what is signed; {timestamp}, {method}, {path} with its query and {body} are put in.
        timestamp_header: has the timestamp, in seconds since 1970.
    """

    key: bytes = field(repr=False)
    header: str = "X-Signature"
    value: str = "{signature}"
    content: str = "{body}"
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    timestamp_header: str | None = None

    def headers(self, method: str, request: Request, now: datetime) -> Mapping[str, str]:
        """The headers that sign one call."""
        parts = urlsplit(request.url)
        timestamp = str(int(now.timestamp()))
        of_call = {
            "timestamp": timestamp.encode(),
            "method": method.encode(),
            "path": f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}".encode(),
            "body": request.content or b"",
        }
        texts = PLACEHOLDER.split(self.content)
        signed = b"".join(of_call[text] if at % 2 else text.encode() for at, text in enumerate(texts))
        digest = hmac.new(self.key, signed, getattr(hashlib, self.algorithm)).digest()
        signature = digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()
        made = {self.header: self.value.replace("{timestamp}", timestamp).replace("{signature}", signature)}
        return made | ({self.timestamp_header: timestamp} if self.timestamp_header else {})


def signing_key(text: str, written: Literal["text", "hex", "base64"]) -> bytes:
    """The key, as the Secret writes it (raises InvalidInput)."""
    try:
        if written == "text":
            return text.encode()
        return bytes.fromhex(text) if written == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise InvalidInput(f"the Secret's signing_key is not {written}; correct it, or config.signature.key") from None
