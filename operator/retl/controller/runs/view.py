"""Everything that is known when a SyncRun is decided upon."""

from dataclasses import dataclass

from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts
from retl.resources.meta import ObjectMeta
from retl.resources.run import RunStatus, SyncRunSpec
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
    """

    uid: str
    state: SyncState | None
    active_run: str | None
    runner: Runner


@dataclass(frozen=True, slots=True)
class RunView:
    """A SyncRun and what surrounds it.

    Attributes:
        spec: what to execute; a Problem when it cannot be understood.
        scheduled: the controller made it for a tick of `sync`, as opposed to a person.
        sync: None when there is no such sync.
        resolved: what its runner would be told; a Problem when a reference is missing; None when it was not asked for.
        job: of the attempt in `status`, if there is one.
        pods: of that Job.
        refused: why Kubernetes will never take the Job of the attempt; empty if it did not say so.
    """

    meta: ObjectMeta
    spec: SyncRunSpec | Problem
    status: RunStatus
    scheduled: bool
    sync: SyncFacts | None
    resolved: RunSpec | Problem | None = None
    job: JobFacts | None = None
    pods: tuple[PodFacts, ...] = ()
    refused: str = ""

    @property
    def reserved(self) -> bool:
        """Whether the sync is reserved for this run."""
        return self.sync is not None and self.sync.active_run == self.meta.name
