"""Everything that is known when a ReverseETLSync is decided upon."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import get_args

from retl.controller.decision import Problem
from retl.controller.facts import controller_uid, moment
from retl.controller.syncs.lenient import lenient, timestamp
from retl.resources.kinds import Manifest
from retl.resources.marks import PINNED_LABEL
from retl.resources.meta import ObjectMeta
from retl.resources.run import TERMINAL, RunPhase, RunStatus
from retl.resources.sync import ReverseETLSyncSpec, SyncStatus

_PHASES = get_args(RunPhase)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A SyncRun that names the sync, read without insisting that its spec or status is valid.

    Attributes:
        owner_uid: uid of the sync if the controller made the run; a person's run has none.
        tick: that it answers; None for a person's run.
        plan: it only counts what would be written.
        pinned: history limits leave it alone.
        raw_status: its status as it stands there.
    """

    name: str
    uid: str
    created: datetime
    owner_uid: str
    phase: RunPhase | None = None
    attempt: int = 0
    finished_at: datetime | None = None
    tick: datetime | None = None
    plan: bool = False
    pinned: bool = False
    deleting: bool = False
    raw_status: Manifest = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.phase in TERMINAL

    @property
    def ended_at(self) -> datetime:
        return self.finished_at or self.created

    @property
    def status(self) -> RunStatus:
        """Its record, as far as it can be understood."""
        return lenient(RunStatus, self.raw_status)[0]

    @classmethod
    def read(cls, run: Manifest) -> "RunFacts":
        metadata, spec, status = run["metadata"], run.get("spec") or {}, run.get("status") or {}
        phase, attempt = status.get("phase"), status.get("attempt")
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            created=moment(metadata["creationTimestamp"]),
            owner_uid=controller_uid(run),
            phase=phase if phase in _PHASES else None,
            attempt=attempt if isinstance(attempt, int) else 0,
            finished_at=timestamp(status.get("finishedAt")),
            tick=timestamp(spec.get("tick")),
            plan=spec.get("mode") == "Plan",
            pinned=(metadata.get("labels") or {}).get(PINNED_LABEL) == "true",
            deleting="deletionTimestamp" in metadata,
            raw_status=status,
        )


@dataclass(frozen=True, slots=True)
class DependencyFacts:
    """A sync that another one depends on.

    Attributes:
        found: it is there; all else is empty otherwise.
        active_run: name of the run that holds it.
        waiting: a tick of it is due and may not start yet.
        next_run_time: its next tick; in the past while that tick is not decided upon.
        last_run, last_phase: its newest finished run and how that ended.
    """

    name: str
    found: bool = False
    active_run: str = ""
    waiting: bool = False
    next_run_time: datetime | None = None
    last_run: str = ""
    last_phase: str = ""
    last_success: datetime | None = None

    @classmethod
    def read(cls, name: str, sync: Manifest | None) -> "DependencyFacts":
        if sync is None or "deletionTimestamp" in sync["metadata"]:
            return cls(name)
        status = lenient(SyncStatus, sync["status"])[0]
        return cls(
            name,
            found=True,
            active_run=status.active_run.name if status.active_run else "",
            waiting=status.waiting_tick is not None,
            next_run_time=status.next_run_time,
            last_run=status.last_run.name if status.last_run else "",
            last_phase=status.last_run.phase if status.last_run else "",
            last_success=status.last_success_time,
        )


@dataclass(frozen=True, slots=True)
class SyncView:
    """A sync and what surrounds it.

    Attributes:
        spec: None when it cannot be understood; `problem` then says why.
        problem: what keeps the sync from running.
        runs: all SyncRuns that name it.
        stranger: the SyncRun of another sync that has the reserved name.
        vanished: the run that holds the reservation is not there, and will not be.
        dependencies: what its schedule depends on, in the order of the spec.
        circle: names of the syncs, from this one back to it, that depend on each other; empty if there is no circle.
        skewed: the controller's clock cannot be trusted.
        repaired: fields of the status that could not be understood and were left out.
    """

    meta: ObjectMeta
    spec: ReverseETLSyncSpec | None
    status: SyncStatus
    problem: Problem | None = None
    runs: tuple[RunFacts, ...] = ()
    stranger: RunFacts | None = None
    vanished: bool = False
    dependencies: tuple[DependencyFacts, ...] = ()
    circle: tuple[str, ...] = ()
    skewed: bool = False
    repaired: tuple[str, ...] = ()

    def run(self, name: str) -> RunFacts | None:
        """The run of that name, of this sync or another."""
        known = (*self.runs, self.stranger) if self.stranger else self.runs
        return next((run for run in known if run.name == name), None)

    def ours(self, run: RunFacts) -> bool:
        """Whether the controller made the run for a tick of this sync."""
        return run.owner_uid == self.meta.uid
