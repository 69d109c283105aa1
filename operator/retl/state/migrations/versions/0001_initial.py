"""The first schema: syncs and their claims, runs, commits, snapshots, dead letters."""

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
        sa.Column("claim_run", sa.Text(), comment="uid of the run that holds the claim; null when free"),
        sa.Column("claim_nonce", sa.Text(), comment="names the request that took the last claim"),
        sa.Column("claim_owner", sa.Text()),
        sa.Column("claim_baseline", sa.Text()),
        sa.Column("claim_plan", sa.Boolean()),
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
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), comment="RunResult; null until the run ends"),
        sa.Column("dead_letters", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sync_uid", "uid", name="pk_retl_runs"),
    )
    op.create_index("ix_retl_runs_namespace", "retl_runs", ["namespace", "started_at"])
    op.create_index("ix_retl_runs_sync", "retl_runs", ["sync_uid", "started_at"])

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
        sa.Column("key_hashes", sa.LargeBinary(), nullable=False),
        sa.Column("row_hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sync_uid", "staged", "sequence", name="pk_retl_snapshot_parts"),
    )

    op.create_table(
        "retl_dead_letters",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sync_uid", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("record_keys", sa.JSON(), nullable=False),
        sa.Column("payload", sa.LargeBinary()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime()),
        sa.Column("resolution", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_retl_dead_letters"),
    )
    open_ = sa.text("resolved_at IS NULL")
    resolved = sa.text("resolved_at IS NOT NULL")
    op.create_index(
        "uq_retl_dead_letters_open", "retl_dead_letters", ["sync_uid", "key_hash"],
        unique=True, postgresql_where=open_, sqlite_where=open_,
    )
    op.create_index(
        "ix_retl_dead_letters_open", "retl_dead_letters", ["namespace", "last_seen_at"],
        postgresql_where=open_, sqlite_where=open_,
    )
    op.create_index(
        "ix_retl_dead_letters_resolved", "retl_dead_letters", ["sync_uid", "resolved_at"],
        postgresql_where=resolved, sqlite_where=resolved,
    )


def downgrade() -> None:
    for table in ("retl_dead_letters", "retl_snapshot_parts", "retl_commits", "retl_runs", "retl_syncs"):
        op.drop_table(table)
