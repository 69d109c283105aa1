"""What people do with a run that is there: stop it, approve it, look at its plan, follow it, read its log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from uuid import UUID

from retl.apiserver.endpoints import POD
from retl.resources import requests
from retl.resources.kinds import RUN, Manifest
from retl.resources.views import Run
from retl.rest.callers.caller import APPROVE, READ_LOG, READ_PLAN
from retl.rest.problems import Problem, not_found
from retl.rest.service import runlist
from retl.rest.service.refused import Lost
from retl.rest.service.runs import RunsOfWorkspace
from retl.rest.service.values import LogAsked, RunEvent, RunRecord

_LOOK_SECONDS = 1.0
"""Between two looks at a pod whose container has not begun; not everybody who may read logs may watch pods."""


class RunControl(RunsOfWorkspace):
    """The Runs of the interface, whole."""

    async def cancel(self, run: UUID, sync: UUID | None = None) -> RunRecord:
        record = await self.run(run, sync)
        if record.state == "Cancelled":
            return record  # the request came before, and its answer was lost
        known = _going(record)
        return record if known.spec.get("cancel") else await self._patched(record, requests.cancel(known))

    async def approve(self, run: UUID, plan_hash: str, sync: UUID | None = None) -> RunRecord:
        await self._cluster.require(APPROVE)
        record = await self.run(run, sync)
        known = _going(record)
        if (known.spec.get("approval") or {}).get("planHash") == plan_hash and not known.held:
            return record  # the request came before, and its answer was lost
        try:
            change = requests.approve(known, plan_hash)
        except requests.NotHeld as error:
            raise Problem(409, "not-awaiting-approval", str(error)) from None
        except requests.AnotherPlan as error:
            raise Problem(409, "plan-changed", str(error)) from None
        return await self._patched(record, change)

    async def plan(self, run: UUID, sync: UUID | None = None) -> bytes:
        await self._cluster.require(READ_PLAN)
        record = await self.run(run, sync)
        found = await self._state().plan(namespace=self.place.namespace, run=str(record.uid))
        if found is None:
            raise not_found(f"plan of run {record.name}: only a run that plans, or is held for approval, leaves one")
        return found

    async def follow(self, run: UUID, sync: UUID | None = None) -> AsyncIterator[RunEvent]:
        record = await self.run(run, sync)
        yield RunEvent("run", record)
        if record.manifest is not None:
            async with aclosing(self._cluster.watch(RUN, record.name)) as seen:
                async for found in seen:
                    if found is None or found["metadata"]["uid"] != str(run):
                        break
                    now = await self._told(found, record.sync)
                    if now.version != record.version:
                        record = now
                        yield RunEvent("run", record)
                    if Run.read(found).ended:
                        break
        yield RunEvent("end", record)

    async def log(self, run: UUID, asked: LogAsked, sync: UUID | None = None) -> AsyncIterator[bytes]:
        await self._cluster.require(READ_LOG)
        record = await self.run(run, sync)
        if record.manifest is None:
            raise not_found(f"log of run {record.name}: logs go with the SyncRun")
        known = Run.read(record.manifest)
        if asked.follow and not asked.attempt:
            known = await self._begun(known)
        pod = await self._pod(known, asked.attempt or known.status.attempt, asked.follow)
        try:
            async with aclosing(self._cluster.log(pod, follow=asked.follow, tail=asked.tail)) as lines:
                async for line in lines:
                    yield line
        except Problem as problem:
            if problem.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            raise not_found(f"log of run {record.name}: its container never began") from None

    async def _patched(self, record: RunRecord, change: Manifest) -> RunRecord:
        """The run with a change to its spec, if it is still the same run."""
        try:
            found = await self._cluster.patch(RUN, record.name, {"metadata": {"uid": str(record.uid)}, **change})
        except Lost:
            raise not_found("such run in this workspace") from None
        return runlist.of_manifest(self.place, found, record.sync)

    async def _begun(self, run: Run) -> Run:
        """The run, once it has an attempt or has ended without one."""
        async with aclosing(self._cluster.watch(RUN, run.name)) as seen:
            async for found in seen:
                if found is None:
                    break
                run = Run.read(found)
                if run.status.attempt or run.ended:
                    break
        return run

    async def _pod(self, run: Run, attempt: int, wait: bool) -> str:
        """Name of the newest pod of an attempt; with `wait` once its container has begun."""
        if not attempt or attempt > run.status.attempt:
            raise not_found(f"log of run {run.name}: it has had {run.status.attempt} attempts so far")
        while True:
            pods = (await self._cluster.list(POD, labels=f"batch.kubernetes.io/job-name={run.job(attempt)}")).items
            if not pods:
                raise not_found(f"log of attempt {attempt} of run {run.name}: its pod is gone, and its log with it")
            pod = max(pods, key=lambda each: str(each["metadata"]["creationTimestamp"]))
            if (pod.get("status") or {}).get("phase") not in (None, "Pending"):
                return str(pod["metadata"]["name"])
            if not wait:
                raise not_found(f"log of attempt {attempt} of run {run.name}: its container has not begun")
            await asyncio.sleep(_LOOK_SECONDS)


def _going(record: RunRecord) -> Run:
    """The SyncRun of a run that has not ended (raises Problem)."""
    if record.manifest is None or record.state in ("Succeeded", "Failed", "Cancelled"):
        raise Problem(409, "run-finished", f"SyncRun {record.name} has ended already: {record.state}")
    return Run.read(record.manifest)
