"""API keys: their text, and the Secret that says what a key is worth. Pure.

The text is `retl_ID_SECRET`; only its SHA-256 is kept. The Secrets lie in the operator's own namespace, so that the API
pod needs no right to read Secrets of workspaces, where the logins of warehouses are.
"""

import base64
import binascii
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from retl.resources.kinds import Manifest
from retl.resources.marks import API_KEY, WORKSPACE

PREFIX = "retl_"
DESCRIPTION_MAX = 255
_ID_LETTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 16
_SECRET_BYTES = 32
_TEXT = re.compile(r"retl_([a-z0-9]{16})_[a-z2-7]{52}")
_ACCOUNT = re.compile(r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)/([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?)")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Account:
    """The ServiceAccount that a key speaks for."""

    namespace: str
    name: str

    @property
    def username(self) -> str:
        """What the API server calls it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key.

    Attributes:
        digest: SHA-256 of the whole text, in hexadecimal.
        expires: from this moment on it is worth nothing.
    """

    id: str
    account: Account
    expires: datetime
    digest: str = field(repr=False)
    description: str = ""

    def is_text(self, text: str) -> bool:
        """Whether this is the key's text; takes as long whatever is wrong with it."""
        return hmac.compare_digest(self.digest, digest(text))

    @property
    def secret(self) -> Manifest:
        """The Secret to keep it in, without a namespace."""
        data = {
            "sha256": self.digest,
            "service-account": str(self.account),
            "expires-at": self.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": API_KEY,
            "metadata": {
                "name": secret_name(self.id),
                "labels": {API_KEY: self.id, WORKSPACE: self.account.namespace},
            },
            "stringData": data | ({"description": self.description} if self.description else {}),
        }


def generate() -> tuple[str, str]:
    """The id and the text of a new key."""
    identity = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    secret = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=").lower()
    return identity, f"{PREFIX}{identity}_{secret}"


def id_of(text: str) -> str | None:
    """The id in a key's text; None if it is no such text."""
    matched = _TEXT.fullmatch(text)
    return matched[1] if matched else None


def is_id(text: str) -> bool:
    """Whether it can be the id of a key."""
    return len(text) == _ID_LENGTH and all(letter in _ID_LETTERS for letter in text)


def digest(text: str) -> str:
    """What is kept of a key's text."""
    return sha256(text.encode()).hexdigest()


def secret_name(identity: str) -> str:
    """Name of the Secret of the key with that id."""
    return f"retl-key-{identity}"


def read(secret: Manifest) -> Key | str:
    """The key that a Secret keeps; else what is wrong with the Secret."""
    if secret.get("type") != API_KEY:
        return f"its type is not {API_KEY}"
    try:
        data = {name: base64.b64decode(value).decode() for name, value in (secret.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError):
        return "its data is not text"
    account = _ACCOUNT.fullmatch(data.get("service-account", ""))
    expires = _moment(data.get("expires-at", ""))
    if not _HASH.fullmatch(data.get("sha256", "")):
        return "sha256 is not 64 hexadecimal digits in lower case"
    if account is None:
        return "service-account is not NAMESPACE/NAME"
    if expires is None:
        return "expires-at is not a moment with its zone (RFC 3339)"
    identity = str(secret["metadata"]["name"]).removeprefix(secret_name(""))
    return Key(identity, Account(account[1], account[3]), expires, data["sha256"], data.get("description", ""))


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
