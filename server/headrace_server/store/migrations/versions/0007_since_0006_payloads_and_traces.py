"""The trace that a job belongs to; parameters and results beside events that are to be broadcast."""

import sqlalchemy as sa
from alembic import op

revision = "0007_since_0006"
down_revision = "0006"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for table in ("job", "outbox"):
        op.add_column(table, sa.Column("traceparent", TEXT, nullable=False, server_default=""))
    op.add_column("outbox", sa.Column("payload", TEXT))
