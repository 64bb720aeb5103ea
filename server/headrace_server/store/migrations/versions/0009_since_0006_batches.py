"""The batch that a job was submitted with; batches that are not whole yet."""

import sqlalchemy as sa
from alembic import op

revision = "0009_since_0006"
down_revision = "0008_since_0006"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BATCHED = sa.text("batch_id <> ''")


def upgrade() -> None:
    op.add_column("job", sa.Column("batch_id", TEXT, nullable=False, server_default=""))
    op.create_index(
        "job_by_batch", "job", ["batch_id", "job_id"], sqlite_where=BATCHED, postgresql_where=BATCHED
    )
    op.create_table(
        "staged_batch",
        sa.Column("batch_id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("instance", TEXT, nullable=False),
        sa.Column("decide_time", sa.BigInteger),
        sa.PrimaryKeyConstraint("batch_id", name="pk_staged_batch"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "staged_piece",
        sa.Column("batch_id", TEXT, nullable=False),
        sa.Column("piece", sa.Integer, nullable=False),
        sa.Column("jobs", sa.Integer, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "piece", name="pk_staged_piece"),
    )
