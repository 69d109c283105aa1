"""What the dialects see of the service layer.

All methods raise Problem: 401 and 403 as the API server judges the caller; 404 for what is not in this workspace, or of
another kind; 409, 412, 422, 429 and 503 as documented with each. What is not said here is in the problem table of
`problems`.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from retl.rest.callers.caller import Caller
from retl.rest.service.values import (
    ConnectionRecord,
    FieldRecord,
    LetterFilter,
    LetterRecord,
    LetterStatistics,
    LogAsked,
    ObjectRecord,
    Page,
    PageAsked,
    Place,
    Resolved,
    RunEvent,
    RunFilter,
    RunOrder,
    RunRecord,
    SyncFilter,
    SyncRecord,
    SyncWish,
    Write,
)


class Syncs(Protocol):
    """The syncs of a workspace."""

    async def syncs(self, which: SyncFilter, page: PageAsked | None) -> Page[SyncRecord]:
        """Syncs by name; all of them without a page. Their `query` is left empty.

        Raises:
            Problem: 422 the page is none of this list.
        """

    async def sync(self, uid: UUID) -> SyncRecord:
        """One sync."""

    async def create_sync(self, wish: SyncWish, how: Write) -> SyncRecord:
        """Make a sync; with a dry run, what it would be.

        Raises:
            Problem: 409 the namespace is going away; 422 the wish is incomplete or wrong, or names what is not there,
                or the workspace has no default source, or the idempotency key came with another body.
        """

    async def change_sync(self, uid: UUID, wish: SyncWish, how: Write) -> SyncRecord:
        """Change what the wish names, and nothing else.

        Two at the same time both take effect, unless they name a version.

        Raises:
            Problem: 409 a tool keeps it as Git has it (`managed-by-gitops`, with the patch), or it is being deleted;
                412 it has another version; 422 as above.
        """

    async def delete_sync(self, uid: UUID, how: Write) -> datetime:
        """Delete a sync with its runs; when that was (raises Problem: 409 and 412 as above)."""


class Connections(Protocol):
    """What syncs refer to; read only."""

    async def models(self) -> Sequence[ConnectionRecord]:
        """All models by name."""

    async def sources(self) -> Sequence[ConnectionRecord]:
        """All sources by name."""

    async def destinations(self, connector: str | None = None) -> Sequence[ConnectionRecord]:
        """Destinations by name, of one connector or of all."""

    async def objects(self, destination: UUID | str, search: str, *, refresh: bool) -> Sequence[ObjectRecord]:
        """What a destination takes, as its last check found it; nothing where no check has.

        Args:
            search: part of the name or label, whatever its case; empty for all.
            refresh: ask for a check and wait until it has ended.
        Raises:
            Problem: with refresh 403 without `patch syncdestinations`, 409 the check failed, 503 none within 60 s.
        """

    async def fields(self, destination: UUID | str, object: str, *, refresh: bool) -> Sequence[FieldRecord]:
        """The fields of an object (raises Problem: as above; 404 there is no such object)."""


class Runs(Protocol):
    """The runs of a workspace: those of the cluster and those of the history as one list.

    Where a sync is named with a run, the run is not there unless it is of that sync.
    """

    async def runs(self, which: RunFilter, page: PageAsked | None) -> Page[RunRecord]:
        """Runs, newest first; without a page the newest 1,000.

        Raises:
            Problem: 404 without a page, if there is no such sync any more; 422 the page is none of this list; 503 the
                state database does not answer.
        """

    async def run(self, uid: UUID, sync: UUID | None = None) -> RunRecord:
        """One run."""

    async def start(self, sync: UUID, order: RunOrder, how: Write) -> RunRecord:
        """Make a SyncRun; it waits where another run of the sync is under way.

        Raises:
            Problem: 409 the sync is a draft, or is being deleted, or the namespace is; 422 the idempotency key came
                with another body.
        """

    async def cancel(self, run: UUID, sync: UUID | None = None) -> RunRecord:
        """Ask a run to stop (raises Problem: 409 it has ended); one that was asked already stays so."""

    async def approve(self, run: UUID, plan_hash: str, sync: UUID | None = None) -> RunRecord:
        """Let a run go on that waits for approval.

        Raises:
            Problem: 403 without the right `update syncruns/approval`; 409 it does not wait, or has another plan.
        """

    async def plan(self, run: UUID, sync: UUID | None = None) -> bytes:
        """What a run would have written, JSON (raises Problem: 403 without `get syncruns/plan`; 404 none is kept)."""

    def follow(self, run: UUID, sync: UUID | None = None) -> AsyncIterator[RunEvent]:
        """The run as it is, and again after each change, until it has ended or is gone."""

    def log(self, run: UUID, asked: LogAsked, sync: UUID | None = None) -> AsyncIterator[bytes]:
        """What its runner wrote, in pieces.

        Raises:
            Problem: 403 without `get syncruns/log` or `get pods/log`; 404 the pod of that attempt is gone.
        """


class Letters(Protocol):
    """The dead letters of a workspace."""

    async def letters(self, which: LetterFilter, page: PageAsked) -> Page[LetterRecord]:
        """Open ones, last seen first; or resolved ones, last resolved first (403 without `list deadletters`)."""

    async def letter_statistics(self, sync: UUID | None, since: datetime | None) -> LetterStatistics:
        """Numbers of those that were last seen, or resolved, at that moment or later (`get deadletters/statistics`)."""

    async def resolve(self, ids: Sequence[UUID], resolution: str, *, replay: bool, how: Write) -> Resolved:
        """Close entries, or have them sent again; closed already is closed.

        With a replay an entry stays open until its record is written, so that nothing is lost if that fails again.

        Raises:
            Problem: 403 without `update deadletters`, or with a replay `create syncruns`; 409 a replay of a sync that
                is a draft or gone; 422 an id is of no entry of this workspace: nothing is done then.
        """


class Workspace(Syncs, Connections, Runs, Letters, Protocol):
    """One workspace, as one caller may see and change it."""

    @property
    def place(self) -> Place:
        """Which one."""


class Workspaces(Protocol):
    """All workspaces."""

    async def open(self, caller: Caller, name: str | None) -> Workspace:
        """The workspace of that name or uid; without one, that of the caller's credential.

        Raises:
            Problem: 403 or 404 there is none, or none for this caller; 422 none is named and the credential has none.
        """
