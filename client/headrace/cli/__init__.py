"""The headrace script: every verb of the client as a command.

    __init__     finds out whether Typer and rich are installed
    app          the commands together, and what a failure looks like: one line and an exit code
    session      which server, which tenant; what every command takes
    submitting   submit, run          reading    get, list, count, events
    submitting_many   submit-many     job_lines  the file that it reads
    following    watch, wait          changing   stop, release, update, delete
    serving      types, instances, info, health, version, and what other packages add through the entry points `headrace.commands`

Data goes to stdout and everything else to stderr. gRPC is imported when a server is called, not for
help.
"""

import importlib
import importlib.util
import sys

from headrace._loading import uncollected
from headrace.cli import interrupts


def main() -> None:
    """The entry point of the script."""
    interrupts.hush()
    if not all(map(_is_there, ("typer", "rich", "yaml"))):
        sys.stderr.write("headrace: the command line is an extra: pip install 'headrace[cli]'\n")
        sys.exit(2)
    with uncollected():
        importlib.import_module("headrace.cli.streams").prepare()
        app = importlib.import_module("headrace.cli.app")
    try:
        code = app.run(sys.argv[1:])
    finally:
        interrupts.hush()
    sys.exit(code)


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # it stands among the modules, as one that is not to be found
        return False
