"""Retention: ended jobs by their age, request_ids by their job and by when they may be forgotten, and whose turn it is."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    ended = sa.text("end_time IS NOT NULL AND NOT locked")
    op.create_index("job_ended", "job", ["status", "end_time"], sqlite_where=ended, postgresql_where=ended)
    op.add_column("request", sa.Column("forget_at", sa.BigInteger))
    op.create_index("request_by_job", "request", ["job_id"])
    forgotten = sa.text("forget_at IS NOT NULL")
    op.create_index(
        "request_forgotten",
        "request",
        ["forget_at"],
        sqlite_where=forgotten,
        postgresql_where=forgotten,
    )
    duty = op.create_table(
        "duty",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duty"),
    )
    op.bulk_insert(duty, [{"name": "retention", "turn": 0}])
