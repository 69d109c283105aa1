"""What a run is about to do, as a document for people: it may hold row values, so it stays where dead letters are.

It is kept in the state database, and printed by `retl plan` as text, JSON, or Markdown for a pull request.
"""

from typing import Any, Literal

from pydantic import Field

from retl.resources.fields import StatusModel
from retl.resources.run import RunCounts

Operation = Literal["create", "update", "delete"]
DriftKind = Literal["ColumnAdded", "ColumnGone", "TypeChanged", "FieldGone", "FieldReadOnly"]


class PlannedChange(StatusModel):
    """One record of the sample: values by destination field, written as in the mappings.

    Attributes:
        before: its key fields as this sync wrote them; None if it is new. In place of a sensitive value, a mark.
        after: its key fields as they will be; None if it will be deleted. In place of a sensitive value, a mark.
        record: the mapped fields as they would be sent, without sensitive ones; of a lookup, the value to look up.
    """

    operation: Operation
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    record: dict[str, Any] | None = None


class Drift(StatusModel):
    """A difference between what the mappings were made for and what is there now."""

    kind: DriftKind
    name: str
    before: str = ""
    after: str = ""


class GuardVerdict(StatusModel):
    """One limit and what the run would make of it; `limit` as the manifest writes it."""

    guard: str
    limit: str
    value: int
    breached: bool
    message: str = ""


class Estimate(StatusModel):
    """What the run would cost.

    Attributes:
        calls: to the destination, by operation.
        seconds: at least, under the destination's rate limit; None if there is none.
    """

    calls: dict[str, int] = Field(default_factory=dict)
    seconds: float | None = None


class Plan(StatusModel):
    """The document.

    Attributes:
        plan_hash: empty if the run cannot even begin; the notes say why.
        counts: what would become of the rows.
        samples: some changes of each operation.
        notes: sentences on what is unusual, such as a snapshot that starts anew because the mode has changed.
    """

    run: str
    sync: str
    namespace: str
    mode: str
    plan_hash: str
    counts: RunCounts = RunCounts()
    samples: list[PlannedChange] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    drift: list[Drift] = Field(default_factory=list)
    guards: list[GuardVerdict] = Field(default_factory=list)
    estimate: Estimate = Estimate()
