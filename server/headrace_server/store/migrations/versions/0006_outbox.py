"""The outbox, and who holds a duty."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("duty", sa.Column("holder", TEXT, nullable=False, server_default=""))
    op.execute(sa.text("INSERT INTO duty (name, turn, holder) VALUES ('broadcast', 0, '')"))
    op.create_table(
        "outbox",
        sa.Column("place", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("previous", sa.Integer, nullable=False),
        sa.Column("parked", sa.Boolean, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("body", TEXT),
        sa.PrimaryKeyConstraint("place", name="pk_outbox"),
    )
    op.create_index("outbox_by_job", "outbox", ["job_id", "place"])
    for name, which in (("outbox_open", "NOT parked"), ("outbox_parked", "parked")):
        op.create_index(
            name, "outbox", ["place"], sqlite_where=sa.text(which), postgresql_where=sa.text(which)
        )
