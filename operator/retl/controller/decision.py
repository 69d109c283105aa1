"""What a decision can ask for. Values only: `act` carries them out, and neither side knows the other's reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from retl.controller.kinds import Key
from retl.resources.conditions import Condition, with_condition, without_condition
from retl.resources.fields import StatusModel
from retl.resources.kinds import Manifest
from retl.resources.sync import TickRecord

RECHECK = timedelta(seconds=30)
"""How often a problem is looked at again that may be mended without any event, such as a missing Secret."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object under its deterministic name; that it is there already is no error."""

    kind: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete this very object (by uid)."""

    key: Key
    uid: str
    propagation: Literal["Background", "Foreground"] = "Background"


Action = Create | Delete


@dataclass(frozen=True, slots=True)
class Event:
    """What people are told of an object by `kubectl describe`, once for each time that it becomes so.

    Attributes:
        type: Normal, or Warning where somebody should look.
        reason: CamelCase word.
        note: a sentence; whoever posts it cuts it off after NOTE_MAX bytes.
    """

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


NOTE_MAX = 1_024
"""Bytes of an Event's note that the API server takes."""


def shortened(text: str, size: int) -> str:
    """The text in at most so many bytes."""
    if len(text.encode()) <= size:
        return text
    return text.encode()[: max(0, size - len("…".encode()))].decode(errors="ignore") + "…"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one object.

    Attributes:
        status: what its status shall be; it is written, before any action, only where it differs from what is there.
        actions: carried out in order.
        wake: when to look again even if nothing changes.
        verdicts: of the ticks that were decided upon, for the metrics.
        events: told once the status is written.
    """

    status: StatusModel | None = None
    actions: tuple[Action, ...] = ()
    wake: datetime | None = None
    verdicts: tuple[TickRecord, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an object cannot be used: a CamelCase reason and a message that says what to change.

    Attributes:
        passing: it may be mended without any event that the controller sees, so it is looked at again after a while.
    """

    reason: str
    message: str
    passing: bool = False


def readiness(
    conditions: Sequence[Condition],
    problem: Problem | None,
    *,
    reason: str,
    now: datetime,
    generation: int,
) -> list[Condition]:
    """Ready, and Stalled where there is a problem: as kstatus reads them, an object without one is healthy.

    Args:
        reason: of Ready when there is no problem.
    """
    if problem is None:
        conditions = with_condition(conditions, "Ready", "True", reason, now=now, generation=generation)
        return without_condition(conditions, "Stalled")
    why = problem.reason, problem.message
    conditions = with_condition(conditions, "Ready", "False", *why, now=now, generation=generation)
    return with_condition(conditions, "Stalled", "True", *why, now=now, generation=generation)
