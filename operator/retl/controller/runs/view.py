"""Everything that is known when a SyncRun is decided upon."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts
from retl.resources.meta import ObjectMeta
from retl.resources.run import RunProgress, RunStatus, SyncRunSpec
from retl.resources.sync import Runner, SyncState
from retl.runspec import RunSpec


@dataclass(frozen=True, slots=True)
class SyncFacts:
    """The sync that a run belongs to.

    Attributes:
        uid: its identity.
        state: None when its spec is invalid.
        active_run: name of the run that holds the reservation.
        runner: its wishes for the pod.
        labels: of the sync.
    """

    uid: str
    state: SyncState | None
    active_run: str | None
    runner: Runner
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """A destination that lets only some runs go on at the same time.

    Attributes:
        held: the run has a slot.
        before: how many runs are to get one first.
    """

    destination: str
    limit: int
    held: bool
    before: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Kubernetes did not take the Job of the attempt.

    Attributes:
        message: its own words.
        at: when that was.
        final: it never will, because the Job is invalid; else a quota, a policy or a right stands in the way.
    """

    message: str
    at: datetime
    final: bool


@dataclass(frozen=True, slots=True)
class RunView:
    """A SyncRun and what surrounds it.

    Attributes:
        spec: what to execute; a Problem when it cannot be understood.
        unrecorded: the first attempt is under way, and only `status` here knows of it, not what is stored.
        scheduled: the controller made it for a tick of `sync`, as opposed to a person.
        sync: None when there is no such sync.
        resolved: what its runner would be told; a Problem when a reference is missing; None when it was not asked for.
        job: of the attempt in `status`, if there is one.
        pods: of that Job.
        leftovers: pods of this run, or of the sync's last one, that are still there and have not ended.
        obstacle: why nothing of that Job has started, where that had to be asked for.
        refusal: of the attempt's Job; None if it was not refused.
        slot: None when the destination takes any number of runs.
        progress: what the runner last said of itself.
    """

    meta: ObjectMeta
    spec: SyncRunSpec | Problem
    status: RunStatus
    scheduled: bool
    sync: SyncFacts | None
    resolved: RunSpec | Problem | None = None
    job: JobFacts | None = None
    pods: tuple[PodFacts, ...] = ()
    leftovers: tuple[PodFacts, ...] = ()
    obstacle: Problem | None = None
    refusal: Refusal | None = None
    slot: SlotFacts | None = None
    progress: RunProgress | None = None
    unrecorded: bool = False

    @property
    def reserved(self) -> bool:
        """Whether the sync is reserved for this run."""
        return self.sync is not None and self.sync.active_run == self.meta.name
