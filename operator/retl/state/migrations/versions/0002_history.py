"""What lists of runs and dead letters show and are ordered by: when a run was made, by whom, and what a person said."""

import sqlalchemy as sa
from alembic import op

from retl.state.tables import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPEN = sa.text("resolved_at IS NULL")
RESOLVED = sa.text("resolved_at IS NOT NULL")


def upgrade() -> None:
    op.drop_index("ix_retl_runs_namespace", "retl_runs")
    op.drop_index("ix_retl_runs_sync", "retl_runs")
    op.add_column(
        "retl_runs", sa.Column("created_at", UtcDateTime(), comment="its place in lists; started_at if nobody said")
    )
    op.add_column(
        "retl_runs", sa.Column("triggered_by", sa.Text(), comment="id of a caller of the API; null if nobody said")
    )
    op.add_column("retl_runs", sa.Column("full_refresh", sa.Boolean()))
    op.add_column("retl_runs", sa.Column("tick", UtcDateTime()))
    op.execute("UPDATE retl_runs SET created_at = started_at, full_refresh = false")
    with op.batch_alter_table("retl_runs") as runs:
        runs.alter_column("created_at", existing_type=UtcDateTime(), nullable=False)
        runs.alter_column("full_refresh", existing_type=sa.Boolean(), nullable=False)
    op.create_index("ix_retl_runs_namespace", "retl_runs", ["namespace", "created_at", "uid"])
    op.create_index("ix_retl_runs_state", "retl_runs", ["namespace", "state", "created_at", "uid"])
    op.create_index("ix_retl_runs_sync", "retl_runs", ["sync_uid", "created_at", "uid"])
    op.create_index("ix_retl_runs_name", "retl_runs", ["namespace", "name"])

    op.add_column(
        "retl_dead_letters",
        sa.Column("run_uid", sa.Text(), comment="of the run; null of entries older than this column"),
    )
    op.add_column(
        "retl_dead_letters",
        sa.Column("reason", sa.Text(), comment="what a person said who dismissed it or had it sent again"),
    )
    op.add_column("retl_dead_letters", sa.Column("resolved_by", sa.Text(), comment="id of that person"))
    for name in ("ix_retl_dead_letters_namespace", "ix_retl_dead_letters_sync", "ix_retl_dead_letters_resolved"):
        op.drop_index(name, "retl_dead_letters")
    for name, where, *columns in (
        ("ix_retl_dead_letters_namespace", OPEN, "namespace", "code", "last_seen_at", "id", "resolved_at"),
        ("ix_retl_dead_letters_sync", OPEN, "sync_uid", "code", "last_seen_at", "id", "resolved_at"),
        ("ix_retl_dead_letters_resolved", RESOLVED, "namespace", "code", "resolved_at", "id"),
        ("ix_retl_dead_letters_resolved_sync", RESOLVED, "sync_uid", "code", "resolved_at", "id"),
    ):
        op.create_index(name, "retl_dead_letters", columns, postgresql_where=where, sqlite_where=where)
