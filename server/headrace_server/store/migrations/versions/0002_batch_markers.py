"""Batch markers: what settles a COMMIT whose answer was lost. SQLite has no such COMMIT; the table stays empty there."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "batch",
        sa.Column("writer", sa.Integer, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("writer", "seq", name="pk_batch"),
        sqlite_with_rowid=False,
    )
