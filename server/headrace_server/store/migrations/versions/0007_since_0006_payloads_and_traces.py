"""The trace that a job belongs to; parameters and results beside broadcasts; for how long an instance has stood still."""

import sqlalchemy as sa
from alembic import op

revision = "0007_since_0006"
down_revision = "0006"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for table in ("job", "outbox"):
        op.add_column(table, sa.Column("traceparent", TEXT, nullable=False, server_default=""))
    op.add_column("outbox", sa.Column("payload", TEXT))
    for column in ("still_beat", "still"):
        op.add_column("instance", sa.Column(column, sa.BigInteger, nullable=False, server_default="0"))
