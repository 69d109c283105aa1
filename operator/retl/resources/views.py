"""Syncs, runs and what they refer to, as people and the API look at them.

Specs are read as they are, not by our models: an object of a newer version, or one that the models refuse, must be
shown all the same, most of all where somebody asks why it does not run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retl.resources.conditions import Condition, find
from retl.resources.kinds import Manifest
from retl.resources.meta import ObjectMeta
from retl.resources.names import job_name
from retl.resources.run import TERMINAL, RunPhase, RunStatus
from retl.resources.source import LastCheck
from retl.resources.sync import SyncStatus

UNFINISHED = ",".join(f"status.phase!={phase}" for phase in sorted(TERMINAL))
"""Field selector of SyncRuns that have not ended."""


@dataclass(frozen=True, slots=True)
class Sync:
    """A ReverseETLSync."""

    manifest: Manifest
    meta: ObjectMeta
    spec: Mapping[str, Any]
    status: SyncStatus

    @classmethod
    def read(cls, manifest: Manifest) -> "Sync":
        return cls(
            manifest,
            ObjectMeta.model_validate(manifest["metadata"]),
            manifest.get("spec") or {},
            SyncStatus.model_validate(manifest.get("status") or {}),
        )

    @property
    def name(self) -> str:
        return self.meta.name

    @property
    def state(self) -> str:
        return str(self.spec.get("state", "Active"))

    @property
    def schedule(self) -> Mapping[str, Any]:
        """As the manifest writes it; empty if there is none."""
        return self.spec.get("schedule") or {}

    @property
    def dependencies(self) -> list[str]:
        """Names of the syncs that it depends on."""
        return [each["syncRef"]["name"] for each in self.schedule.get("dependsOn") or []]

    @property
    def stalled(self) -> Condition | None:
        found = find(self.status.conditions, "Stalled")
        return found if found and found.status == "True" else None


@dataclass(frozen=True, slots=True)
class Run:
    """A SyncRun."""

    manifest: Manifest
    meta: ObjectMeta
    spec: Mapping[str, Any]
    status: RunStatus

    @classmethod
    def read(cls, manifest: Manifest) -> "Run":
        return cls(
            manifest,
            ObjectMeta.model_validate(manifest["metadata"]),
            manifest.get("spec") or {},
            RunStatus.model_validate(manifest.get("status") or {}),
        )

    @property
    def name(self) -> str:
        return self.meta.name

    @property
    def sync(self) -> str:
        return str((self.spec.get("syncRef") or {}).get("name", ""))

    @property
    def mode(self) -> str:
        return str(self.spec.get("mode", "Sync"))

    @property
    def phase(self) -> RunPhase | None:
        return self.status.phase

    @property
    def ended(self) -> bool:
        return self.phase in TERMINAL

    @property
    def held(self) -> bool:
        """It waits for a person to approve its plan."""
        return self.phase == "AwaitingApproval"

    @property
    def reason(self) -> str:
        end = find(self.status.conditions, "Succeeded")
        return end.reason if end else ""

    @property
    def message(self) -> str:
        end = find(self.status.conditions, "Succeeded")
        return end.message if end else ""

    def job(self, attempt: int | None = None) -> str:
        """Name of the Job of an attempt; of the newest if none is named."""
        return job_name(self.name, attempt or self.status.attempt)


@dataclass(frozen=True, slots=True)
class Other:
    """A source, destination or model that a sync refers to.

    Attributes:
        there: whether there is one of that name.
    """

    kind: str
    name: str
    there: bool
    generation: int = 1
    observed: int | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    conditions: Sequence[Condition] = ()
    last_check: LastCheck | None = None
    slots: Sequence[str] = ()

    @classmethod
    def read(cls, kind: str, name: str, manifest: Manifest | None) -> "Other":
        if manifest is None:
            return cls(kind, name, there=False)
        status = manifest.get("status") or {}
        return cls(
            kind,
            name,
            there=True,
            generation=manifest["metadata"].get("generation", 1),
            observed=status.get("observedGeneration"),
            spec=manifest.get("spec") or {},
            conditions=[Condition.model_validate(each) for each in status.get("conditions") or []],
            last_check=LastCheck.model_validate(status["lastCheck"]) if status.get("lastCheck") else None,
            slots=[slot["run"] for slot in status.get("slots") or []],
        )
