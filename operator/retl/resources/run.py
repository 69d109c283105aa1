"""SyncRun: one execution of a sync, and its record."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from retl.resources.conditions import Condition
from retl.resources.fields import Flag, Model, Moment, NameRef, StatusModel
from retl.resources.meta import Resource
from retl.resources.names import RUN_NAME_MAX
from retl.resources.rules import Rule, rules

RunMode = Literal["Sync", "Plan"]
RunPhase = Literal["Pending", "Running", "AwaitingApproval", "Succeeded", "Failed", "Cancelled"]
TERMINAL: frozenset[RunPhase] = frozenset({"Succeeded", "Failed", "Cancelled"})


IMMUTABLE = Rule(
    "self.syncRef == oldSelf.syncRef && self.mode == oldSelf.mode"
    " && (has(self.fullRefresh) && self.fullRefresh) == (has(oldSelf.fullRefresh) && oldSelf.fullRefresh)"
    " && has(self.tick) == has(oldSelf.tick) && (!has(self.tick) || self.tick == oldSelf.tick)",
    "a SyncRun cannot change, apart from cancel and approval; create another SyncRun",
)
CANCEL_STANDS = Rule(
    "!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)",
    "a cancelled run cannot be taken up again; create another SyncRun",
)


class Approval(Model):
    """A person's consent to exactly one plan."""

    plan_hash: str = Field(min_length=1, max_length=64, description="status.planHash of the run being approved.")


class SyncRunSpec(Model):
    """What to execute. Immutable apart from cancel and approval."""

    model_config = ConfigDict(json_schema_extra=rules(IMMUTABLE, CANCEL_STANDS))

    sync_ref: NameRef = Field(description="The ReverseETLSync to run.")
    mode: RunMode = Field(default="Sync", description="Sync writes; Plan only counts what would be written.")
    full_refresh: Flag = Field(default=False, description="Send every row again, also those that did not change.")
    tick: Moment | None = Field(default=None, description="Moment of the schedule that this run answers (UTC).")
    cancel: Flag = Field(default=False, description="Stop the run; what was acknowledged is kept.")
    approval: Approval | None = Field(default=None, description="Lets a run that awaits approval go on.")


class RunCounts(StatusModel):
    """What became of the rows: read is the sum of all others."""

    read: int = 0
    unchanged: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    skipped: int = 0
    invalid: int = 0
    rejected: int = 0
    unknown: int = 0


class RunStatus(StatusModel):
    """The record of a run."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default_factory=list)
    phase: RunPhase | None = None
    attempt: int = Field(default=0, description="Jobs started for this run so far.")
    job_name: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    counts: RunCounts | None = None
    dead_letters: int | None = Field(default=None, description="Open dead letters of the sync after this run.")
    plan_hash: str | None = Field(default=None, description="Identifies what this run planned to write.")


class SyncRun(Resource):
    """One execution of a sync."""

    plural: ClassVar[str] = "syncruns"
    singular: ClassVar[str] = "syncrun"
    short_names: ClassVar[tuple[str, ...]] = ("retlrun",)
    name_max: ClassVar[int] = RUN_NAME_MAX

    kind: Literal["SyncRun"]
    spec: SyncRunSpec
    status: RunStatus = RunStatus()
