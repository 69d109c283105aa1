"""Jobs that a destination has taken and not spoken of yet."""

import sqlalchemy as sa
from alembic import op

from retl.state.tables import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retl_jobs",
        sa.Column("sync_uid", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_uid", sa.Text(), nullable=False, comment="of the run that submitted it"),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("submitted_at", UtcDateTime(), nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.Column("hashes", sa.LargeBinary(), nullable=False, comment="of keys, of rows, of marks: a third each"),
        sa.PrimaryKeyConstraint("sync_uid", "id", name="pk_retl_jobs"),
    )
