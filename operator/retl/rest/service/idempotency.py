"""How the same request is known when it comes again: by the name of what it made, and what is written on it. Pure.

So it holds across processes and restarts, and as long as the object itself.
"""

import base64
import hashlib
from dataclasses import dataclass

from retl.resources.kinds import Manifest
from retl.resources.marks import IDEMPOTENCY, IDEMPOTENCY_REQUEST
from retl.rest.callers.caller import Caller
from retl.rest.problems import KEY_REUSED, FieldError, Problem
from retl.rest.service.values import Place, Write

_HEX = 32
_SUFFIX = 10


@dataclass(frozen=True, slots=True)
class Request:
    """A request with an Idempotency-Key.

    Attributes:
        digest: of who asked where for what, and the key; 32 hexadecimal digits.
        body: digest of its body, as many.
        suffix: of the name of what it makes: ten letters and digits.
    """

    digest: str
    body: str
    suffix: str

    @property
    def annotations(self) -> dict[str, str]:
        """What is written on what it makes."""
        return {IDEMPOTENCY: self.digest, IDEMPOTENCY_REQUEST: self.body}

    def made(self, manifest: Manifest) -> bool:
        """Whether this request, made before, made the object.

        Raises:
            Problem: 422 it did, with another body.
        """
        annotations = manifest["metadata"].get("annotations") or {}
        if annotations.get(IDEMPOTENCY) != self.digest:
            return False
        if annotations.get(IDEMPOTENCY_REQUEST) != self.body:
            raise reused()
        return True


def reused() -> Problem:
    """The key came before, with another body."""
    wrong = "was sent before with another body; send a new key for a new request"
    errors = [FieldError(wrong, header="Idempotency-Key")]
    return Problem(422, KEY_REUSED, f"Idempotency-Key {wrong}", errors=errors)


def request(how: Write, caller: Caller, place: Place, what: str) -> Request | None:
    """The request by its key; None if it has none.

    Args:
        what: names what is asked for and of which object.
    """
    if not how.idempotency_key:
        return None
    digest = _digest(how, caller, place, what)
    suffix = base64.b32encode(digest).decode().lower()[:_SUFFIX]
    return Request(digest.hex()[:_HEX], how.digest[:_HEX], suffix)


def key(how: Write, caller: Caller, place: Place) -> str:
    """What is kept of the key, whatever its request made; empty if there is none."""
    return _digest(how, caller, place, how.what).hex() if how.idempotency_key else ""


def _digest(how: Write, caller: Caller, place: Place, what: str) -> bytes:
    return hashlib.sha256("\n".join([str(caller.id), str(place.uid), what, how.idempotency_key]).encode()).digest()
