"""Names of what the API makes."""

import re
import secrets
import string
import unicodedata
from collections.abc import Iterator

SLUG_MAX = 34
_TRIES = 3
_LETTERS = string.ascii_lowercase + string.digits
_GENERATED_MAX = 46
"""Of the name of a sync in that of a run, before `-k` and ten more."""


def sync_names(display_name: str, suffix: str = "") -> Iterator[str]:
    """Names for a new sync, to be tried one after the other.

    Args:
        suffix: leaves only one name, which ends so.
    """
    slug = slug_of(display_name)
    if suffix:
        yield f"{slug}-{suffix}"
        return
    yield slug
    for _ in range(_TRIES):
        yield f"{slug}-{''.join(secrets.choice(_LETTERS) for _ in range(5))}"


def slug_of(display_name: str) -> str:
    """A name for people as Kubernetes takes names: `Comptes à jour` is `comptes-a-jour`."""
    plain = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:SLUG_MAX].rstrip("-") or "sync"


def run_name(sync: str, suffix: str) -> str:
    """Name of the run that a request with an Idempotency-Key makes."""
    return f"{sync[:_GENERATED_MAX].rstrip('-.')}-k{suffix}"
