"""SyncRun: one execution of a sync, and its record."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from retl.resources.conditions import Condition
from retl.resources.fields import Flag, Model, Moment, NameRef, StatusModel
from retl.resources.meta import Resource
from retl.resources.names import RUN_NAME_MAX
from retl.resources.rules import Rule, rules

RunMode = Literal["Sync", "Plan", "Replay"]
RunPhase = Literal["Pending", "Running", "AwaitingApproval", "Succeeded", "Failed", "Cancelled"]
TERMINAL: frozenset[RunPhase] = frozenset({"Succeeded", "Failed", "Cancelled"})


IMMUTABLE = Rule(
    "self.syncRef == oldSelf.syncRef && self.mode == oldSelf.mode"
    " && (has(self.fullRefresh) && self.fullRefresh) == (has(oldSelf.fullRefresh) && oldSelf.fullRefresh)"
    " && has(self.replay) == has(oldSelf.replay) && (!has(self.replay) || self.replay == oldSelf.replay)"
    " && has(self.tick) == has(oldSelf.tick) && (!has(self.tick) || self.tick == oldSelf.tick)",
    "a SyncRun cannot change, apart from cancel and approval; create another SyncRun",
)
REPLAY_MODE = Rule("!has(self.replay) || self.mode == 'Replay'", "replay belongs to mode Replay")
CANCEL_STANDS = Rule(
    "!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)",
    "a cancelled run cannot be taken up again; create another SyncRun",
)


class Approval(Model):
    """A person's consent to exactly one plan."""

    plan_hash: str = Field(min_length=1, max_length=64, description="status.planHash of the run being approved.")


Word = Annotated[str, Field(min_length=1, max_length=63)]


class Replay(Model):
    """Which dead letters a Replay sends again; all open ones if nothing is chosen."""

    entries: list[Word] = Field(default_factory=list, max_length=1000, description="Ids of entries.")
    codes: list[Word] = Field(default_factory=list, max_length=20, description="Entries with one of these codes.")
    payload: Literal["Fresh", "Stored"] = Field(
        default="Fresh", description="Send the rows as the source has them now, or the records as they were kept."
    )


class SyncRunSpec(Model):
    """What to execute. Immutable apart from cancel and approval."""

    model_config = ConfigDict(json_schema_extra=rules(IMMUTABLE, REPLAY_MODE, CANCEL_STANDS))

    sync_ref: NameRef = Field(description="The ReverseETLSync to run.")
    mode: RunMode = Field(
        default="Sync",
        description="Sync writes; Plan only says what would be written; Replay sends dead letters again.",
    )
    full_refresh: Flag = Field(default=False, description="Send every row again, also those that did not change.")
    replay: Replay | None = Field(default=None, description="What a Replay sends; all open dead letters if not set.")
    tick: Moment | None = Field(default=None, description="Moment of the schedule that this run answers (UTC).")
    cancel: Flag = Field(default=False, description="Stop the run; what was acknowledged is kept.")
    approval: Approval | None = Field(default=None, description="Lets a run that awaits approval go on.")

    @model_validator(mode="after")
    def _replay_mode(self) -> Self:
        if self.replay is not None and self.mode != "Replay":
            raise ValueError(REPLAY_MODE.message)
        return self


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


RunStep = Literal["extract", "diff", "deliver", "commit"]


class RunProgress(StatusModel):
    """How far a run is, as its runner last said."""

    step: RunStep
    rows: int = Field(default=0, description="Rows that this step has handled.")
    total: int | None = Field(default=None, description="Rows that this step will handle, if that is known.")
    updated_at: datetime


class Attempt(StatusModel):
    """One attempt that has ended without success."""

    number: int
    job_name: str
    reason: str
    message: str = Field(default="", max_length=512)
    finished_at: datetime | None = None


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
    dead_letters_by_code: dict[str, int] = Field(default_factory=dict, max_length=20)
    plan_hash: str | None = Field(default=None, description="Identifies what this run planned to write.")
    progress: RunProgress | None = None
    failed_attempts: list[Attempt] = Field(default_factory=list, max_length=5, description="The newest five.")


class SyncRun(Resource):
    """One execution of a sync."""

    plural: ClassVar[str] = "syncruns"
    singular: ClassVar[str] = "syncrun"
    short_names: ClassVar[tuple[str, ...]] = ("retlrun",)
    name_max: ClassVar[int] = RUN_NAME_MAX

    kind: Literal["SyncRun"]
    spec: SyncRunSpec
    status: RunStatus = RunStatus()
