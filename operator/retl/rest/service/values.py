"""What goes into and out of the service layer, in the terms of the resources; each dialect translates it.

Where something is wrong, it is named by its place in the manifest (`("spec", "mappings", 3, "cast")`, see
`resources.problems`); each dialect knows which of its fields that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from retl.resources.kinds import Manifest
from retl.resources.run import Replay, RunCounts, RunMode
from retl.resources.sync import SyncState
from retl.resources.views import Sync
from retl.rest.vocabulary import RunState

T = TypeVar("T")


def uid_in(text: str) -> UUID | None:
    """The uid that a text is; None where it is something else: people write annotations and owners, too."""
    try:
        return UUID(text)
    except ValueError:
        return None


class Unset(Enum):
    """Tells a field that was not sent from one that was sent as null."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace: a namespace that is there.

    Attributes:
        made: when it was: what is older is of another one, which had its name.
    """

    namespace: str
    uid: UUID
    made: datetime


@dataclass(frozen=True, slots=True)
class Named:
    """An object that something refers to."""

    uid: UUID
    name: str


@dataclass(frozen=True, slots=True)
class PageAsked:
    """Which part of a list.

    Attributes:
        after: where the page before ended, as `Page.next` said; None for the first.
    """

    limit: int
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list.

    Attributes:
        next: where the next part begins, in words of the service's own; None if this is the last.
    """

    items: Sequence[T]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """How a write is to be done.

    Attributes:
        dry_run: the API server judges it and answers as if it were done; nothing is kept.
        if_match: resource versions of which the object must still have one; None: whatever it has.
        idempotency_key: of a POST: the same key of the same caller for the same thing is answered by what the first
            request made. Empty: none.
        digest: of the request's body, which the same key must come with again.
        what: names what is asked for; the key is good for that alone.
    """

    dry_run: bool = False
    if_match: frozenset[str] | None = None
    idempotency_key: str = ""
    digest: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True)
class MappingWish:
    """One mapping as a dialect writes it.

    An existing mapping of the same destination keeps what the dialect cannot say of it.

    Attributes:
        source: a column, or the text by which the mapping's other origin is shown (see `service.mappings`); empty where
            `further` has `value` or `metadata` in its place.
        cast: None takes it away.
        further: fields of the manifest's mapping beside these, by their names there; None in one takes it back to its
            default.
    """

    destination: str
    source: str
    cast: str | Unset | None = UNSET
    key: bool | Unset = UNSET
    further: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScheduleWish:
    """When a sync is to run; an existing schedule keeps all else that it says."""

    cron: str
    time_zone: str | Unset = UNSET


@dataclass(frozen=True, slots=True)
class SyncWish:
    """What a sync is to become; what is UNSET stays as it is, or gets its default.

    Attributes:
        name: for people; the object's own name is made from it.
        model: uid of a SyncModel, or of the sync itself: its own query, as it is.
        query: SQL for the workspace's default source, or `model:NAME`, or `ref('NAME')`.
        destination: uid, or the words by which a destination is named (see `service.connections`).
        mappings: all of them.
        sql_columns: whether `source` of a mapping may be an expression, with odd column names in double quotes.
        primary_key: empty: as if the sync had none of its own.
        schedule: None: none.
        enabled: in the place of `state`: True is Active; False is Paused, but a Draft stays one, which does not run.
        settings: further fields of the spec by their names there, `schedule` without its cron; and `key`: the
            destination fields that are the key, as no others are. None in one takes it back to its default.
    """

    name: str | Unset = UNSET
    description: str | Unset = UNSET
    model: UUID | Unset = UNSET
    query: str | Unset = UNSET
    destination: UUID | str | Unset = UNSET
    object: str | Unset = UNSET
    mappings: Sequence[MappingWish] | Unset = UNSET
    sql_columns: bool = False
    mode: str | Unset = UNSET
    primary_key: Sequence[str] | Unset = UNSET
    schedule: ScheduleWish | Unset | None = UNSET
    state: SyncState | Unset = UNSET
    enabled: bool | Unset = UNSET
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SyncRecord:
    """A sync with what it refers to.

    Attributes:
        sync: as the API server has it.
        model: None where the query stands in the sync itself, or where there is no model of that name.
        destination: None where there is none of that name.
        primary_key: the sync's own, else the model's.
        last_run: uid of the newest run, under way or ended; None if there was none.
        created_by: id of a caller; NOBODY if it was made by other means.
        updated_at: when its spec was last written by anybody.
        query: SQL of its query or of its model, or `model:NAME` where it has a model; empty where it was not asked for.
        replayed: this answers a request that was made before (see Write.idempotency_key).
    """

    place: Place
    sync: Sync
    model: Named | None
    destination: Named | None
    primary_key: Sequence[str]
    last_run: UUID | None
    created_by: UUID
    updated_at: datetime
    query: str = ""
    replayed: bool = False

    @property
    def uid(self) -> UUID:
        return UUID(self.sync.meta.uid)

    @property
    def version(self) -> str:
        """Of the sync as it is shown; empty for one that a dry run made."""
        return self.sync.meta.resource_version


@dataclass(frozen=True, slots=True)
class SyncFilter:
    """Which syncs.

    Attributes:
        destination: as in SyncWish.
        enabled: True: state Active; False: any other.
    """

    destination: UUID | str | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, of the cluster or, once its SyncRun is gone, of the history; the uid is the same in both.

    Attributes:
        sync: uid of its sync; None where nothing tells it any more.
        created_at: of a run of the history that is older than this field, when it started.
        triggered_by: id of a caller; SCHEDULE for the run of a tick; NOBODY where nothing tells.
        reason, message: why it is in this state; empty for one that succeeded.
        manifest: the SyncRun; None if there is none any more.
        replayed: this answers a request that was made before (see Write.idempotency_key).
    """

    place: Place
    uid: UUID
    name: str
    sync: UUID | None
    state: RunState
    mode: RunMode
    full_refresh: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    counts: RunCounts
    triggered_by: UUID
    reason: str = ""
    message: str = ""
    plan_hash: str = ""
    attempt: int = 0
    manifest: Manifest | None = None
    replayed: bool = False

    @property
    def version(self) -> str:
        """Of its SyncRun; empty where there is none any more, or none yet, as after a dry run."""
        return str(self.manifest["metadata"].get("resourceVersion", "")) if self.manifest else ""

    @property
    def rows_written(self) -> int:
        """Records that the destination has taken; none of a plan, whose counts are of what it would write."""
        return 0 if self.mode == "Plan" else self.counts.created + self.counts.updated + self.counts.deleted

    @property
    def rows_failed(self) -> int:
        """Rows that could not be written, or of which nobody knows."""
        return self.counts.invalid + self.counts.rejected + self.counts.unknown


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs."""

    sync: UUID | None = None
    state: RunState | None = None


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What to run."""

    mode: RunMode = "Sync"
    full_refresh: bool = False
    replay: Replay | None = None


@dataclass(frozen=True, slots=True)
class ConnectionRecord:
    """A source, a destination or a model.

    Attributes:
        connector: empty for a model.
        ready: what its condition Ready says; None while nobody has looked.
        reason, message: of that condition.
        source: of a model, the name of its source.
        discoverable: of a destination, whether a check has found objects there.
        default: of a source, whether it answers queries that name none.
    """

    uid: UUID
    name: str
    display_name: str
    created_at: datetime
    connector: str = ""
    ready: bool | None = None
    reason: str = ""
    message: str = ""
    source: str = ""
    discoverable: bool = False
    default: bool = False


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """An object that a destination takes.

    Attributes:
        upsert: whether the destination can write it in mode upsert.
        writable: whether its fields could be read, and any may be written.
    """

    name: str
    label: str
    upsert: bool
    writable: bool


@dataclass(frozen=True, slots=True)
class FieldRecord:
    """A field of such an object."""

    name: str
    label: str
    type: str
    required: bool
    updateable: bool
    external_id: bool


@dataclass(frozen=True, slots=True)
class LogAsked:
    """Which part of a run's log.

    Attributes:
        attempt: None: the newest.
        tail: lines; None: all.
        follow: goes on until the attempt ends.
    """

    attempt: int | None = None
    tail: int | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters."""

    sync: UUID | None = None
    resolved: bool = False
    code: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class LetterRecord:
    """A dead letter.

    Attributes:
        run: uid of the run that saw it last; None where nothing tells.
        resolution: superseded, rebaselined, or the words of whoever resolved it.
    """

    uid: UUID
    sync: UUID
    run: UUID | None
    code: str
    message: str
    record_keys: Mapping[str, str | None]
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    resolution: str


@dataclass(frozen=True, slots=True)
class LetterStatistics:
    """Numbers of dead letters; open ones by code."""

    open: int
    resolved: int
    by_code: Mapping[str, int]
    computed_at: datetime


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a request to resolve dead letters.

    Attributes:
        ids: of all that were named, in that order, each once.
        runs: those that send them again, one a sync; empty without a replay.
        replayed: this answers a request that was made before (see Write.idempotency_key).
    """

    ids: Sequence[UUID]
    runs: Sequence[RunRecord]
    at: datetime
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class RunEvent:
    """What is told of a run under way.

    Attributes:
        kind: `run`: it has changed; `end`: it has ended, or is gone, and nothing follows.
    """

    kind: Literal["run", "end"]
    run: RunRecord
