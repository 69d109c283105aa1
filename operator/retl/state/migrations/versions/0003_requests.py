"""Keys of requests to the API, and the body that each came with."""

import sqlalchemy as sa
from alembic import op

from retl.state.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retl_requests",
        sa.Column("key", sa.Text(), comment="SHA-256 of an Idempotency-Key with whose it is and what for"),
        sa.Column("body", sa.Text(), nullable=False, comment="SHA-256"),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_retl_requests"),
    )
    op.create_index("ix_retl_requests_made", "retl_requests", ["made_at"])
