"""Names and local identities that follow from other names, and how long a name may be so that its children fit.

A Job's name, and every label value, may have 63 characters; the limits count back from there.
"""

from datetime import UTC, datetime
from uuid import UUID, uuid5

LABEL_MAX = 63
ATTEMPT_DIGITS = 4
RUN_NAME_MAX = LABEL_MAX - 1 - ATTEMPT_DIGITS
"""58: a Job is named `<run>-<attempt>`."""
TICK_FORMAT = "%Y%m%d%H%M"
SYNC_NAME_MAX = RUN_NAME_MAX - 1 - len("202601312359")
"""45: the run of a tick is named `<sync>-<yyyymmddhhmm>`."""

_LOCAL = UUID("6a1c2f4e-6a3d-5c55-9f0e-3d6f2b1f7e10")
"""Namespace of local uids. State on people's disks is keyed by what follows from it: it never changes."""


def tick_run_name(sync: str, tick: datetime) -> str:
    """Name of the SyncRun of a tick (an aware datetime): one tick, one name, so it cannot be created twice."""
    return f"{sync}-{tick.astimezone(UTC).strftime(TICK_FORMAT)}"


def job_name(run: str, attempt: int) -> str:
    """Name of the Job of an attempt, counted from 1."""
    return f"{run}-{attempt}"


def check_job_name(connection: str, uid: str, number: int) -> str:
    """Name of the Job of a check of a connection, counted from 1: at most 63 characters up to the ten-millionth."""
    return f"check-{connection[:40].rstrip('-.')}-{uid.replace('-', '')[:8]}-{number}"


def local_run_name(sync: str, now: datetime, entropy: bytes) -> str:
    """Name of a run without a cluster: `<sync>-<yyyymmddhhmmss>-<4 hex>`, from the first two bytes of entropy."""
    return f"{sync}-{now.astimezone(UTC).strftime('%Y%m%d%H%M%S')}-{entropy[:2].hex()}"


def local_uid(namespace: str, name: str) -> str:
    """The uid of a sync without a cluster: the same for the same namespace and name, on every machine."""
    return str(uuid5(_LOCAL, f"{namespace}/{name}"))
