"""The next version of the server: the same, but for one more migration, which adds to the tables.

    python -m support.next_version FOLDER serve

FOLDER is what `migrations` has made.
"""

import shutil
import sys
from pathlib import Path

import typer

from headrace_server.__main__ import register
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


if __name__ == "__main__":
    steps.MIGRATIONS = Path(sys.argv.pop(1))  # type: ignore[misc] # Final in the version of today
    cli = typer.Typer(no_args_is_help=True)
    register(cli)
    cli()
