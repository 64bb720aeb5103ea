"""Instances: who serves this database, and since when each was last seen to do so."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "instance",
        sa.Column("instance", TEXT, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("start_time", sa.BigInteger, nullable=False),
        sa.Column("about", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("instance", name="pk_instance"),
    )
    op.add_column("writer", sa.Column("instance", TEXT, nullable=False, server_default=""))
