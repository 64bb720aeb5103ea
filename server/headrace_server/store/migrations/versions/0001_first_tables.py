"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    _create_job()
    _create_payload()
    _create_log()
    _create_derived()
    op.create_table(
        "request",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "request_id", name="pk_request"),
        sqlite_with_rowid=False,
    )


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("session_id", TEXT, nullable=False),
        sa.Column("queue", TEXT, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("labels", TEXT),
        sa.Column("run_after", sa.BigInteger),
        sa.Column("expire_time", sa.BigInteger),
        sa.Column("timeout", sa.BigInteger),
        sa.Column("retry", TEXT),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("status_time", sa.BigInteger, nullable=False),
        sa.Column("queue_time", sa.BigInteger),
        sa.Column("start_time", sa.BigInteger),
        sa.Column("end_time", sa.BigInteger),
        sa.Column("next_attempt_time", sa.BigInteger),
        sa.Column("due_time", sa.BigInteger),
        sa.Column("claim", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("instance", TEXT, nullable=False),
        sa.Column("worker", TEXT, nullable=False),
        sa.Column("locked", sa.Boolean, nullable=False),
        sa.Column("progress", TEXT),
        sa.Column("error", TEXT),
        sa.Column("attempts", TEXT),
        sa.Column("stop", TEXT),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("dropped_count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_job"),
    )
    op.create_index("job_by_create_time", "job", ["tenant", "create_time", "job_id"])
    op.create_index("job_by_status", "job", ["tenant", "status", "status_time", "job_id"])
    op.create_index("job_by_status_time", "job", ["tenant", "status_time", "job_id"])
    op.create_index("job_by_type", "job", ["tenant", "type", "create_time", "job_id"])
    op.create_index("job_by_owner", "job", ["tenant", "owner", "create_time", "job_id"])
    held = sa.text("status IN (3, 4)")
    op.create_index("job_held", "job", ["job_id"], sqlite_where=held, postgresql_where=held)


def _create_payload() -> None:
    op.create_table(
        "job_parameters",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_parameters"),
    )
    op.create_table(
        "job_result",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", name="pk_job_result"),
    )


def _create_log() -> None:
    op.create_table(
        "job_event",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("writer", sa.Integer, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("body", TEXT),
        sa.PrimaryKeyConstraint("job_id", "revision", name="pk_job_event"),
        sa.UniqueConstraint("writer", "seq", name="uq_job_event_writer_seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "writer",
        sa.Column("writer", sa.Integer, nullable=False),
        sa.Column("start_time", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_writer"),
    )


def _create_derived() -> None:
    op.create_table(
        "ready",
        sa.Column("type", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("neg_priority", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("job_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("type", "tenant", "neg_priority", "at", "job_id", name="pk_ready"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "timer",
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("job_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("at", "kind", "job_id", name="pk_timer"),
        sqlite_with_rowid=False,
    )
