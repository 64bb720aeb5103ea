"""The server of the next version, as a process.

python -m support.next_version FOLDER serve      with the migrations that tables.migrations has made in FOLDER
python -m support.next_version "" serve          with the tables of today, and more in each record
"""

import sys
from pathlib import Path

import typer

from headrace_server.__main__ import register
from headrace_server.store.opening import steps
from support.next_version import records

if __name__ == "__main__":
    if folder := sys.argv.pop(1):
        steps.MIGRATIONS = Path(folder)  # type: ignore[misc] # Final in the version of today
    else:
        records.write_more()
    cli = typer.Typer(no_args_is_help=True)
    register(cli)
    cli()
