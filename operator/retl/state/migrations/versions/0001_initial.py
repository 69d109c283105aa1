"""The first schema: syncs and their claims, runs, commits, snapshots, dead letters, catalogs."""

import sqlalchemy as sa
from alembic import op

from retl.state.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retl_syncs",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("baseline", sa.Text(), comment="what the snapshot was taken under"),
        sa.Column("ledger", sa.Text(), comment="run that the snapshot is the ledger of; empty when it is any run's"),
        sa.Column("notes", sa.LargeBinary(), comment="Notes as JSON, sealed"),
        sa.Column("dropped", sa.BigInteger(), nullable=False, comment="dead letters of the last run that were not kept"),
        sa.Column("claim_run", sa.Text(), comment="uid of the run that holds the claim; null when free"),
        sa.Column("claim_nonce", sa.Text(), comment="names the request that took the last claim"),
        sa.Column("claim_owner", sa.Text()),
        sa.Column("claim_baseline", sa.Text()),
        sa.Column("claim_ledger", sa.Text()),
        sa.Column("claim_plan", sa.Boolean()),
        sa.Column("claim_max_letters", sa.BigInteger()),
        sa.Column("heartbeat_at", UtcDateTime()),
        sa.Column("lease_until", UtcDateTime()),
        sa.PrimaryKeyConstraint("uid", name="pk_retl_syncs"),
    )
    op.create_index("ix_retl_syncs_namespace", "retl_syncs", ["namespace", "name"])

    op.create_table(
        "retl_runs",
        sa.Column("sync_uid", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("progress", sa.JSON(), comment="RunProgress, of the last heartbeat"),
        sa.Column("result", sa.JSON(), comment="RunResult; null until the run ends"),
        sa.Column("dead_letters", sa.Integer(), nullable=False),
        sa.Column("plan", sa.LargeBinary(), comment="JSON, sealed"),
        sa.PrimaryKeyConstraint("sync_uid", "uid", name="pk_retl_runs"),
    )
    op.create_index("ix_retl_runs_namespace", "retl_runs", ["namespace", "started_at"])
    op.create_index("ix_retl_runs_sync", "retl_runs", ["sync_uid", "started_at"])
    op.create_index("ix_retl_runs_uid", "retl_runs", ["uid"])

    op.create_table(
        "retl_commits",
        sa.Column("sync_uid", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sync_uid", "fence", "sequence", name="pk_retl_commits"),
    )

    op.create_table(
        "retl_snapshot_parts",
        sa.Column("sync_uid", sa.Text(), nullable=False),
        sa.Column("staged", sa.BigInteger(), nullable=False, comment="0: in use; else the compaction it waits for"),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="number of keys"),
        sa.Column("blob", sa.Text(), comment="object that holds the rest; null when it is here"),
        sa.Column("key_hashes", sa.LargeBinary(), nullable=False),
        sa.Column("row_hashes", sa.LargeBinary(), nullable=False),
        sa.Column("records", sa.LargeBinary(), comment="key fields, a line each, sealed; null outside of mode mirror"),
        sa.PrimaryKeyConstraint("sync_uid", "staged", "sequence", name="pk_retl_snapshot_parts"),
    )

    op.create_table(
        "retl_snapshot_blobs",
        sa.Column("name", sa.Text(), nullable=False, comment="of an object in the snapshot store"),
        sa.Column("sync_uid", sa.Text(), nullable=False),
        sa.Column("checksum", sa.LargeBinary(), nullable=False, comment="SHA-256 of the object"),
        sa.Column(
            "unused_since", UtcDateTime(), comment="being written, or no part's any more; null while it is a part's"
        ),
        sa.Column("doomed", sa.Boolean(), nullable=False, comment="being deleted; never to be used again"),
        sa.PrimaryKeyConstraint("name", name="pk_retl_snapshot_blobs"),
    )
    op.create_index("ix_retl_snapshot_blobs_sync", "retl_snapshot_blobs", ["sync_uid"])

    op.create_table(
        "retl_dead_letters",
        sa.Column("id", sa.Text(), nullable=False, comment="UUIDv7: later entries have greater ids"),
        sa.Column("sync_uid", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(), nullable=False),
        sa.Column("record_hash", sa.LargeBinary(), nullable=False, comment="empty if it is key_hash"),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime()),
        sa.Column("resolution", sa.Text()),
        sa.Column("shown", sa.LargeBinary(), comment="message and record keys as JSON, sealed; null once it was forgotten"),
        sa.Column("payload", sa.LargeBinary(), comment="sealed"),
        sa.PrimaryKeyConstraint("id", name="pk_retl_dead_letters"),
    )
    for name, where, *columns in (
        ("uq_retl_dead_letters_open", "resolved_at IS NULL", "sync_uid", "key_hash"),
        ("ix_retl_dead_letters_namespace", "resolved_at IS NULL", "namespace", "code", "last_seen_at", "id"),
        ("ix_retl_dead_letters_sync", "resolved_at IS NULL", "sync_uid", "code", "last_seen_at", "id"),
        ("ix_retl_dead_letters_oldest", "resolved_at IS NULL", "sync_uid", "first_seen_at", "id"),
        ("ix_retl_dead_letters_resolved", "resolved_at IS NOT NULL", "sync_uid", "resolved_at", "id"),
        ("ix_retl_dead_letters_dismissed", "resolution = 'dismissed'", "sync_uid", "key_hash"),
    ):
        op.create_index(
            name, "retl_dead_letters", columns, unique=name.startswith("uq"),
            postgresql_where=sa.text(where), sqlite_where=sa.text(where),
        )

    op.create_table(
        "retl_letter_counts",
        sa.Column("sync_uid", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("open", sa.BigInteger(), nullable=False),
        sa.Column("resolved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sync_uid", "code", name="pk_retl_letter_counts"),
    )

    op.create_table(
        "retl_catalogs",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False, comment="of the SyncSource or SyncDestination"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("checked_at", UtcDateTime(), nullable=False),
        sa.Column("catalog", sa.Text(), nullable=False, comment="Catalog as JSON"),
        sa.PrimaryKeyConstraint("namespace", "uid", name="pk_retl_catalogs"),
    )

    op.create_table(
        "retl_rates",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False, comment="uid of the destination"),
        sa.Column("next_slot", sa.Double(), nullable=False),
        sa.Column("pace", sa.Double(), nullable=False),
        sa.Column("refused_at", sa.Double(), nullable=False),
        sa.Column("paused_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "account", name="pk_retl_rates"),
    )


def downgrade() -> None:
    for table in (
        "retl_rates", "retl_catalogs", "retl_letter_counts", "retl_dead_letters", "retl_snapshot_blobs",
        "retl_snapshot_parts", "retl_commits", "retl_runs", "retl_syncs",
    ):
        op.drop_table(table)
