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
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

REVISION = "0001"
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
    Column("claim_run", Text, comment="uid of the run that holds the claim; null when free"),
    Column("claim_nonce", Text, comment="names the request that took the last claim"),
    Column("claim_owner", Text),
    Column("claim_baseline", Text),
    Column("claim_plan", Boolean),
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
    Column("fence", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("counts", JSON, nullable=False),
    Column("result", JSON(none_as_null=True), comment="RunResult; null until the run ends"),
    Column("dead_letters", Integer, nullable=False),
    Index("ix_retl_runs_namespace", "namespace", "started_at"),
    Index("ix_retl_runs_sync", "sync_uid", "started_at"),
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
    # Before the blobs, so that SQLite reads it without walking their overflow pages.
    Column("size", BigInteger, nullable=False, comment="number of keys"),
    Column("key_hashes", LargeBinary, nullable=False),
    Column("row_hashes", LargeBinary, nullable=False),
)

dead_letters = Table(
    "retl_dead_letters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sync_uid", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False),
    Column("row_hash", LargeBinary, nullable=False),
    Column("run", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("record_keys", JSON, nullable=False),
    Column("payload", LargeBinary),
    Column("attempts", Integer, nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("resolution", Text),
)

OPEN = text("resolved_at IS NULL")
RESOLVED = text("resolved_at IS NOT NULL")
Index(
    "uq_retl_dead_letters_open",
    dead_letters.c.sync_uid,
    dead_letters.c.key_hash,
    unique=True,
    postgresql_where=OPEN,
    sqlite_where=OPEN,
)
Index(
    "ix_retl_dead_letters_open",
    dead_letters.c.namespace,
    dead_letters.c.last_seen_at,
    postgresql_where=OPEN,
    sqlite_where=OPEN,
)
Index(
    "ix_retl_dead_letters_resolved",
    dead_letters.c.sync_uid,
    dead_letters.c.resolved_at,
    postgresql_where=RESOLVED,
    sqlite_where=RESOLVED,
)
