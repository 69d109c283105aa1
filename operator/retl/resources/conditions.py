"""Conditions as the Kubernetes API conventions and kstatus read them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from retl.resources.fields import StatusModel

ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(StatusModel):
    """One observation of one aspect of an object."""

    type: str = Field(max_length=316)
    status: ConditionStatus
    reason: str = Field(max_length=1024)
    message: str = Field(default="", max_length=32768)
    last_transition_time: datetime
    observed_generation: int | None = None


def with_condition(
    conditions: Sequence[Condition],
    type: str,
    status: ConditionStatus,
    reason: str,
    message: str = "",
    *,
    now: datetime,
    generation: int | None = None,
) -> list[Condition]:
    """Set one condition; its transition time moves only when its status does."""
    before = find(conditions, type)
    since = (
        before.last_transition_time
        if before and before.status == status
        else now.astimezone(UTC).replace(microsecond=0)
    )
    updated = Condition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=generation,
    )
    if before is None:
        return [*conditions, updated]
    return [updated if c.type == type else c for c in conditions]


def without_condition(conditions: Sequence[Condition], type: str) -> list[Condition]:
    """Drop one condition: kstatus reads an absent `Stalled` or `Reconciling` as healthy."""
    return [c for c in conditions if c.type != type]


def find(conditions: Sequence[Condition], type: str) -> Condition | None:
    """The condition of that type, if it is there."""
    return next((c for c in conditions if c.type == type), None)
