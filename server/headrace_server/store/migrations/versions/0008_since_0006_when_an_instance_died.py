"""When the death of an instance was noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0008_since_0006"
down_revision = "0007_since_0006"


def upgrade() -> None:
    op.add_column("instance", sa.Column("end_time", sa.BigInteger, nullable=False, server_default="0"))
