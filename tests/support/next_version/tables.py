"""The tables of the next version: one more migration, which adds to them."""

import shutil
from pathlib import Path

from headrace_server.store.opening import migrate, steps

REVISION = "9999_since_{own}"
_STEP = '''"""Colours: what the next version adds, and this one does not miss."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    op.add_column("job", sa.Column("colour", sa.Text))
    op.add_column("ready", sa.Column("weight", sa.Integer, nullable=False, server_default="1"))
    op.create_index("job_by_colour", "job", ["colour"])
    op.create_table("palette", sa.Column("colour", sa.Text, primary_key=True))
'''


def migrations(folder: Path) -> str:
    """Make the migrations of the next version in this folder; answer its revision."""
    shutil.copytree(steps.MIGRATIONS, folder)
    head = migrate.state_of(None).head
    revision = REVISION.format(own=head[:4])
    (folder / "versions" / f"{revision}_colours.py").write_text(_STEP.format(revision=revision, before=head))
    return revision
