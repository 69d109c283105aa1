"""Everything that is known when a ReverseETLSync is decided upon."""

from dataclasses import dataclass
from datetime import datetime

from retl.controller.decision import Problem
from retl.controller.facts import controller_uid, moment
from retl.controller.kinds import Manifest
from retl.resources.meta import ObjectMeta
from retl.resources.run import TERMINAL, RunStatus
from retl.resources.sync import ReverseETLSyncSpec, SyncStatus


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A SyncRun that names the sync, read without insisting that its spec is valid.

    Attributes:
        owner_uid: uid of the sync if the controller made the run; a person's run has none.
        plan: it only counts what would be written.
    """

    name: str
    uid: str
    created: datetime
    owner_uid: str
    status: RunStatus
    plan: bool = False
    deleting: bool = False

    @property
    def ended(self) -> bool:
        return self.status.phase in TERMINAL

    @property
    def ended_at(self) -> datetime:
        return self.status.finished_at or self.created

    @classmethod
    def read(cls, run: Manifest) -> "RunFacts":
        metadata = run["metadata"]
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            created=moment(metadata["creationTimestamp"]),
            owner_uid=controller_uid(run),
            status=RunStatus.model_validate(run.get("status") or {}),
            plan=(run.get("spec") or {}).get("mode") == "Plan",
            deleting="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True)
class SyncView:
    """A sync and what surrounds it.

    Attributes:
        spec: None when it cannot be understood; `problem` then says why.
        problem: what keeps the sync from running.
        runs: all SyncRuns that name it, and the one that has the reserved name, whoever made it.
        vanished: the run that holds the reservation was there and was deleted.
    """

    meta: ObjectMeta
    spec: ReverseETLSyncSpec | None
    status: SyncStatus
    problem: Problem | None = None
    runs: tuple[RunFacts, ...] = ()
    vanished: bool = False

    def run(self, name: str) -> RunFacts | None:
        """The run of that name."""
        return next((run for run in self.runs if run.name == name), None)
