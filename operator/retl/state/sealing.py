"""Encryption of what the state database holds of people's records.

One key for the whole database, held by whoever opens it; runners never see it. Sealed bytes name their key, so that
another one is told apart from damage, and the place they belong to is part of what is authenticated: bytes that were
moved to another sync do not open.
"""

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retl.errors import InvalidInput, StateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENV_KEY: Final = "RETL_STATE_KEY"
KEY_BYTES = 32
LOCAL_KEY = "state.key"

_PLAIN, _SEALED = b"\0", b"\1"
_ID_BYTES, _NONCE_BYTES = 4, 12


def parse_key(text: str) -> bytes:
    """The key that a text stands for (raises InvalidInput, which does not quote it)."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInput(f"{ENV_KEY}: is not base64 of {KEY_BYTES} bytes; make one with: openssl rand -base64 32")
    return key


def from_environment() -> bytes | None:
    """The key in RETL_STATE_KEY; None if that is not set (raises InvalidInput)."""
    text = os.environ.get(ENV_KEY, "")
    return parse_key(text) if text else None


def local_key(state_file: Path) -> bytes:
    """The key in `state.key` beside an SQLite file; made for its owner only if there is none yet.

    Raises:
        InvalidInput: the file holds no key.
        StateError: it cannot be read or made.
    """
    path = state_file.with_name(LOCAL_KEY)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        return parse_key(path.read_text())
    except InvalidInput:
        raise InvalidInput(f"state key {path}: is not base64 of {KEY_BYTES} bytes; restore it from a backup") from None
    except OSError as error:
        raise StateError(f"state key {path}: {error.strerror}") from None


def _make(path: Path) -> None:
    """Write a new key; of several processes that do so at once, one wins and all then read the same."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        os.fsync(file.fileno())
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


class Sealer:
    """Seals bytes for the database and opens them again; without a key they stay as they are.

    Args:
        key: 32 bytes, for AES-256-GCM; None to seal nothing.
    """

    def __init__(self, key: bytes | None) -> None:
        self._cipher = None if key is None else _cipher(key)
        self._id = b"" if key is None else hashlib.sha256(b"retl state key" + key).digest()[:_ID_BYTES]

    @property
    def seals(self) -> bool:
        """Whether there is a key."""
        return self._cipher is not None

    def seal(self, plain: bytes, place: str) -> bytes:
        """What to store.

        Args:
            place: what the bytes are and whose; must be said again to open them.
        """
        if self._cipher is None:
            return _PLAIN + plain
        nonce = os.urandom(_NONCE_BYTES)
        return _SEALED + self._id + nonce + self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, stored: bytes, place: str) -> bytes:
        """The bytes that were sealed.

        Raises:
            StateError: they need another key, or are damaged.
        """
        if stored[:1] == _PLAIN:
            return stored[1:]
        used, rest = stored[1 : 1 + _ID_BYTES], stored[1 + _ID_BYTES :]
        if self._cipher is None:
            raise StateError(f"state database: holds records sealed with key {used.hex()}; set {ENV_KEY} to that key")
        if used != self._id:
            raise StateError(
                f"state database: holds records sealed with key {used.hex()}, and {ENV_KEY} is key {self._id.hex()}; "
                "set it to the former"
            )
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            raise StateError(f"state database: what it holds of {place} is damaged; restore a backup") from None


def _cipher(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to load, and the runner needs none

    return AESGCM(key)
