"""The tables of the state database, for PostgreSQL and SQLite alike.

Names carry a prefix because a team may keep its state in a database that it also uses for other things. Everything that
belongs to a sync hangs on its uid; there are no foreign keys, because every write happens under the lock of the sync's
row. Moments are UTC.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    text,
)
from sqlalchemy.types import TypeDecorator

REVISION = "0004"
"""The newest migration; a database at this revision is opened without loading Alembic."""
REVISION_TABLE = "retl_revision"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its zone, also where the database keeps none (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})

syncs = Table(
    "retl_syncs",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("baseline", Text, comment="what the snapshot was taken under"),
    Column("ledger", Text, comment="run that the snapshot is the ledger of; empty when it is any run's"),
    Column("notes", LargeBinary, comment="Notes as JSON, sealed"),
    Column("dropped", BigInteger, nullable=False, comment="dead letters of the last run that were not kept"),
    Column("claim_run", Text, comment="uid of the run that holds the claim; null when free"),
    Column("claim_nonce", Text, comment="names the request that took the last claim"),
    Column("claim_owner", Text),
    Column("claim_baseline", Text),
    Column("claim_ledger", Text),
    Column("claim_plan", Boolean),
    Column("claim_max_letters", BigInteger),
    Column("heartbeat_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    Index("ix_retl_syncs_namespace", "namespace", "name"),
)

runs = Table(
    "retl_runs",
    metadata,
    # The run's uid comes from the runner: keyed with the sync, nobody can reach another sync's run by naming its uid.
    Column("sync_uid", Text, primary_key=True),
    Column("uid", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("counts", JSON, nullable=False),
    Column("progress", JSON(none_as_null=True), comment="RunProgress, of the last heartbeat"),
    Column("result", JSON(none_as_null=True), comment="RunResult; null until the run ends"),
    Column("dead_letters", Integer, nullable=False),
    Column("plan", LargeBinary, comment="JSON, sealed"),
    Column("created_at", UtcDateTime, nullable=False, comment="its place in lists; started_at if nobody said"),
    Column("triggered_by", Text, comment="id of a caller of the API; null if nobody said"),
    Column("full_refresh", Boolean, nullable=False),
    Column("tick", UtcDateTime),
    Index("ix_retl_runs_namespace", "namespace", "created_at", "uid"),
    Index("ix_retl_runs_state", "namespace", "state", "created_at", "uid"),
    Index("ix_retl_runs_sync", "sync_uid", "created_at", "uid"),
    Index("ix_retl_runs_name", "namespace", "name"),
    Index("ix_retl_runs_uid", "uid"),
)

commits = Table(
    "retl_commits",
    metadata,
    Column("sync_uid", Text, primary_key=True),
    Column("fence", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
)

snapshot_parts = Table(
    "retl_snapshot_parts",
    metadata,
    Column("sync_uid", Text, primary_key=True),
    Column("staged", BigInteger, primary_key=True, comment="0: in use; else the compaction it waits for"),
    Column("sequence", BigInteger, primary_key=True),
    # Before the large columns, so that SQLite reads these two without walking their overflow pages.
    Column("size", BigInteger, nullable=False, comment="number of keys"),
    Column("blob", Text, comment="object that holds the rest; null when it is here"),
    Column("key_hashes", LargeBinary, nullable=False),
    Column("row_hashes", LargeBinary, nullable=False),
    Column("records", LargeBinary, comment="key fields, a line each, sealed; null outside of mode mirror"),
)

snapshot_blobs = Table(
    "retl_snapshot_blobs",
    metadata,
    Column("name", Text, primary_key=True, comment="of an object in the snapshot store"),
    Column("sync_uid", Text, nullable=False),
    Column("checksum", LargeBinary, nullable=False, comment="SHA-256 of the object"),
    Column("unused_since", UtcDateTime, comment="being written, or no part's any more; null while it is a part's"),
    Column("doomed", Boolean, nullable=False, comment="being deleted; never to be used again"),
    Index("ix_retl_snapshot_blobs_sync", "sync_uid"),
)

dead_letters = Table(
    "retl_dead_letters",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7: later entries have greater ids"),
    Column("sync_uid", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False),
    Column("row_hash", LargeBinary, nullable=False),
    Column("record_hash", LargeBinary, nullable=False, comment="empty if it is key_hash"),
    Column("operation", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("resolution", Text),
    Column("shown", LargeBinary, comment="message and record keys as JSON, sealed; null once it was forgotten"),
    Column("payload", LargeBinary, comment="sealed"),
    Column("run_uid", Text, comment="of the run; null of entries older than this column"),
    Column("reason", Text, comment="what a person said who dismissed it or had it sent again"),
    Column("resolved_by", Text, comment="id of that person"),
)

OPEN = text("resolved_at IS NULL")
RESOLVED = text("resolved_at IS NOT NULL")
DISMISSED = text("resolution = 'dismissed'")


def _partial(name: str, where: TextClause, *columns: str, unique: bool = False) -> None:
    found = [dead_letters.c[column] for column in columns]
    Index(name, *found, unique=unique, postgresql_where=where, sqlite_where=where)


_partial("uq_retl_dead_letters_open", OPEN, "sync_uid", "key_hash", unique=True)
# With what makes them open, so that SQLite counts in the index alone.
_partial("ix_retl_dead_letters_namespace", OPEN, "namespace", "code", "last_seen_at", "id", "resolved_at")
_partial("ix_retl_dead_letters_sync", OPEN, "sync_uid", "code", "last_seen_at", "id", "resolved_at")
_partial("ix_retl_dead_letters_oldest", OPEN, "sync_uid", "first_seen_at", "id")
_partial("ix_retl_dead_letters_resolved", RESOLVED, "namespace", "code", "resolved_at", "id")
_partial("ix_retl_dead_letters_resolved_sync", RESOLVED, "sync_uid", "code", "resolved_at", "id")
_partial("ix_retl_dead_letters_dismissed", DISMISSED, "sync_uid", "key_hash")

letter_counts = Table(
    "retl_letter_counts",
    metadata,
    Column("sync_uid", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("open", BigInteger, nullable=False),
    Column("resolved", BigInteger, nullable=False),
)

jobs = Table(
    "retl_jobs",
    metadata,
    Column("sync_uid", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("run_uid", Text, nullable=False, comment="of the run that submitted it"),
    Column("operation", Text, nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("handle", LargeBinary, nullable=False, comment="sealed"),
    Column("hashes", LargeBinary, nullable=False, comment="of keys, of rows, of marks: a third each"),
)

catalogs = Table(
    "retl_catalogs",
    metadata,
    # The uid comes from the runner: keyed with the namespace, nobody can reach another's catalog by naming its uid.
    Column("namespace", Text, primary_key=True),
    Column("uid", Text, primary_key=True, comment="of the SyncSource or SyncDestination"),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("catalog", Text, nullable=False, comment="Catalog as JSON"),
)

rates = Table(
    "retl_rates",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("account", Text, primary_key=True, comment="uid of the destination"),
    Column("next_slot", Double, nullable=False),
    Column("pace", Double, nullable=False),
    Column("refused_at", Double, nullable=False),
    Column("paused_until", Double, nullable=False),
)

requests = Table(
    "retl_requests",
    metadata,
    Column("key", Text, primary_key=True, comment="SHA-256 of an Idempotency-Key with whose it is and what for"),
    Column("body", Text, nullable=False, comment="SHA-256"),
    Column("made_at", UtcDateTime, nullable=False),
    Index("ix_retl_requests_made", "made_at"),
)
