"""The server of the next version, as a process.

    python -m support.next_version FOLDER serve

FOLDER holds the migrations that tables.migrations has made.
"""

import sys
from pathlib import Path

import typer

from headrace_server.__main__ import register
from headrace_server.store.opening import steps

if __name__ == "__main__":
    steps.MIGRATIONS = Path(sys.argv.pop(1))  # type: ignore[misc] # Final in the version of today
    cli = typer.Typer(no_args_is_help=True)
    register(cli)
    cli()
