"""What people do to the cluster meanwhile: all that their rights allow, sensible or not."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from retl.apiserver.endpoints import JOB, SECRET
from retl.controller.kinds import Key
from retl.resources.kinds import DESTINATION, RUN, SOURCE, SYNC, Manifest
from retl.resources.marks import CHECK_REQUESTED, PINNED_LABEL
from retl.resources.names import tick_run_name
from retl.resources.run import TERMINAL
from tests.faults.nodes import PLAN
from tests.faults.oracle import ticks
from tests.faults.plan import DOOMED, NAMESPACE, Plan, connections, manifest, schedule, sync
from tests.faults.server import ApiServer, Refusal

_BY = "person"


class People:
    """Deeds by name; each is done to something that is drawn at the time."""

    def __init__(self, server: ApiServer, plan: Plan, rng: random.Random, later: Callable[..., Any]) -> None:
        self._server = server
        self._plan = plan
        self._rng = rng
        self._later = later
        self._made = 0

    def begin(self) -> None:
        """Apply the manifests."""
        self._apply_connections()
        for one in self._plan.syncs:
            self._server.create(SYNC, one, _BY)
        if self._plan.dooms:
            for one in [*connections(self._plan), sync("fated", schedule={"cron": "*/10 * * * *"})]:
                doomed = {**one, "metadata": {**one["metadata"], "namespace": DOOMED}}
                self._server.create(one["kind"], doomed, _BY)
            self._later(self._rng.uniform(60, self._plan.troubled), self._doom)

    def do(self, what: str) -> None:
        """Do it, if there is anything to do it to."""
        deeds: dict[str, Callable[[], None]] = {
            "run by hand": self._run_by_hand,
            "plan by hand": lambda: self._run_by_hand(mode="Plan"),
            "cancel": self._cancel,
            "approve": self._approve,
            "pause": lambda: self._set_state("Paused"),
            "resume": lambda: self._set_state("Active"),
            "reschedule": self._reschedule,
            "delete the sync": self._delete_sync,
            "delete a run": self._delete_run,
            "delete a job": self._delete_job,
            "write status": self._write_status,
            "take a run's name": self._take_run_name,
            "take a job's name": self._take_job_name,
            "remove the destination": self._remove_destination,
            "remove the secret": self._remove_secret,
            "pin a run": self._pin,
            "touch": lambda: self._touch(self._any(SYNC)),
            "touch a run": lambda: self._touch(self._any(RUN)),
        }
        deeds[what]()

    def put_in_order(self) -> None:
        """Give back what is missing, resume what is paused, and look at what waits for somebody."""
        self._apply_connections()
        for one in self._server.all(SYNC):
            if one["spec"].get("state") == "Paused":
                self._edit_spec(Key.of(SYNC, one), state="Active")
        for kind in (SOURCE, DESTINATION):
            for one in self._server.all(kind):
                self._annotate(Key.of(kind, one), CHECK_REQUESTED, "now")
        self.look_at_plans()

    def look_at_plans(self) -> None:
        """Approve whatever waits for approval."""
        for run in self._server.all(RUN):
            if run["status"].get("phase") == "AwaitingApproval":
                self._edit_spec(Key.of(RUN, run), approval={"planHash": PLAN})

    def pause_everything(self) -> None:
        """No further ticks."""
        for one in self._server.all(SYNC):
            self._edit_spec(Key.of(SYNC, one), state="Paused")

    def _apply_connections(self) -> None:
        for one in connections(self._plan):
            if not self._server.find(Key.of(one["kind"], one)):
                self._server.create(one["kind"], one, _BY)
        if self._plan.secret and not self._server.find(Key(SECRET, NAMESPACE, "login")):
            metadata = {"name": "login", "namespace": NAMESPACE}
            self._server.create(SECRET, {"apiVersion": "v1", "kind": SECRET, "metadata": metadata}, _BY)

    def _any(self, kind: str, fits: Callable[[Manifest], bool] = lambda _: True) -> Key | None:
        found = [Key.of(kind, one) for one in self._server.all(kind, NAMESPACE) if fits(one)]
        return self._rng.choice(found) if found else None

    def _edit_spec(self, key: Key, **changes: Any) -> None:
        self._server.edit(key, lambda one: {**one, "spec": {**one["spec"], **changes}}, _BY)

    def _run_by_hand(self, mode: str = "Sync") -> None:
        if of := self._any(SYNC):
            self._made += 1
            self._server.create(RUN, _run(f"hand-{self._made}", of.name, mode=mode), _BY)

    def _cancel(self) -> None:
        if run := self._any(RUN, lambda run: run["status"].get("phase") not in TERMINAL):
            self._edit_spec(run, cancel=True)

    def _approve(self) -> None:
        run = self._any(RUN, lambda run: run["status"].get("phase") == "AwaitingApproval")
        if run and self._rng.random() < 0.2:
            self._edit_spec(run, cancel=True)
        elif run:
            self._edit_spec(run, approval={"planHash": self._rng.choice((PLAN, PLAN, "another"))})

    def _set_state(self, state: str) -> None:
        if of := self._any(SYNC):
            self._edit_spec(of, state=state)

    def _reschedule(self) -> None:
        if of := self._any(SYNC):
            self._edit_spec(of, schedule=schedule(self._rng))

    def _delete_sync(self) -> None:
        """It comes back some time later, as another one of its name."""
        if of := self._any(SYNC):
            again = next((one for one in self._plan.syncs if one["metadata"]["name"] == of.name), None)
            self._server.delete(of, _BY, propagation=self._rng.choice(("Background", "Foreground")))
            if again:
                self._later(self._rng.uniform(1, 600), self._create_if_free, again)

    def _create_if_free(self, one: Manifest) -> None:
        try:
            self._server.create(one["kind"], one, _BY)
        except Refusal as refusal:
            if refusal.reason != "AlreadyExists":
                raise

    def _delete_run(self) -> None:
        if run := self._any(RUN):
            self._server.delete(run, _BY)

    def _delete_job(self) -> None:
        if job := self._any(JOB):
            self._server.delete(job, _BY, propagation=self._rng.choice(("Background", "Foreground")))

    def _write_status(self) -> None:
        if of := self._any(SYNC):
            emptied = self._rng.random() < 0.5
            self._server.edit(of, lambda one: {**one, "status": {} if emptied else _forgetful(one["status"])}, _BY)

    def _take_run_name(self) -> None:
        """A run by hand has the name that the next tick's would have."""
        if (of := self._any(SYNC, _scheduled)) and (name := self._next_name(of)):
            self._create_if_free(_run(name, of.name))

    def _take_job_name(self) -> None:
        if (of := self._any(SYNC, _scheduled)) and (name := self._next_name(of)):
            metadata = {"name": f"{name}-1", "namespace": NAMESPACE, "labels": {}}
            template = {"metadata": {"labels": {}, "annotations": {"other-spec": "{}"}}}
            spec = {"template": template, "activeDeadlineSeconds": 600, "suspend": True}
            job = {"apiVersion": "batch/v1", "kind": JOB, "metadata": metadata, "spec": spec}
            self._create_if_free(job)

    def _next_name(self, of: Key) -> str | None:
        one = self._server.find(of)
        assert one is not None
        plan, now = one["spec"]["schedule"], self._server.now()
        coming = ticks(plan["cron"], plan.get("timeZone", "UTC"), now, now + timedelta(hours=2))
        return tick_run_name(of.name, coming[0]) if coming else None

    def _remove_destination(self) -> None:
        key = Key(*self._rng.choice(((DESTINATION, NAMESPACE, "crm"), (SOURCE, NAMESPACE, "warehouse"))))
        if self._server.find(key):
            self._server.delete(key, _BY)
            self._later(self._rng.uniform(10, 900), self._apply_connections)

    def _remove_secret(self) -> None:
        key = Key(SECRET, NAMESPACE, "login")
        if self._server.find(key):
            self._server.delete(key, _BY)
            self._later(self._rng.uniform(10, 900), self._apply_connections)

    def _pin(self) -> None:
        if run := self._any(RUN):
            self._label(run, PINNED_LABEL, "true")

    def _touch(self, key: Key | None) -> None:
        """A change that means nothing, as tools make them all the time."""
        if key:
            self._label(key, "touched", f"{self._rng.random()}")

    def _label(self, key: Key, name: str, value: str) -> None:
        self._mark("labels", key, name, value)

    def _annotate(self, key: Key, name: str, value: str) -> None:
        self._mark("annotations", key, name, value)

    def _mark(self, field: str, key: Key, name: str, value: str) -> None:
        def marked(one: Manifest) -> Manifest:
            marks = {**(one["metadata"].get(field) or {}), name: value}
            return {**one, "metadata": {**one["metadata"], field: marks}}

        self._server.edit(key, marked, _BY)

    def _doom(self) -> None:
        """Delete a namespace: nothing can be made in it any more, and what is there goes."""
        self._server.terminating.add(DOOMED)
        for kind in (RUN, JOB, SYNC, DESTINATION, SOURCE):
            for one in self._server.all(kind, DOOMED):
                key = Key.of(kind, one)
                self._later(self._rng.uniform(0.1, 30), self._delete_if_there, key)

    def _delete_if_there(self, key: Key) -> None:
        if self._server.find(key):
            self._server.delete(key, _BY)


def _run(name: str, of: str, mode: str = "Sync") -> Manifest:
    return manifest(RUN, name, {"syncRef": {"name": of}, "mode": mode})


def _scheduled(one: Manifest) -> bool:
    return bool((one["spec"].get("schedule") or {}).get("cron", "@after") != "@after")


def _forgetful(status: Manifest) -> Manifest:
    """A status that has lost its reservation."""
    return {name: value for name, value in status.items() if name != "activeRun"}
