"""Gates, and lanes by queue: `ready` is made anew from the jobs, with what its order needs now."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "gate",
        sa.Column("gate", TEXT, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("max_running", sa.Integer),
        sa.Column("max_running_per_owner", sa.Integer),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("gate", name="pk_gate"),
    )
    op.drop_table("ready")
    op.create_table(
        "ready",
        sa.Column("queue", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("neg_priority", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("queue", "type", "tenant", "neg_priority", "at", "job_id", name="pk_ready"),
        sqlite_with_rowid=False,
    )
    queued = 2
    op.execute(
        sa.text(
            "INSERT INTO ready (queue, type, tenant, neg_priority, at, job_id, owner) "
            "SELECT queue, type, tenant, -priority, queue_time, job_id, owner FROM job "
            "WHERE status = :queued AND due_time IS NULL"
        ).bindparams(queued=queued)
    )
    op.create_index(
        "ready_by_owner", "ready", ["queue", "type", "tenant", "owner", "neg_priority", "at", "job_id"]
    )
