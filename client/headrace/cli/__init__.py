"""The headrace script: every verb of the client as a command.

    __init__     finds out whether Typer and rich are installed
    app          the commands together, and what a failure looks like: one line and an exit code
    session      which server, which tenant; what every command takes
    submitting   submit, run          reading    get, list, count, events
    following    watch, wait          changing   stop, release, update, delete
    serving      types, instances, info, health, version, and what other packages add through the entry points `headrace.commands`

Data goes to stdout and everything else to stderr. gRPC is imported when a server is called, not for help.
"""

import importlib
import sys

from headrace.cli import interrupts


def main() -> None:
    """The entry point of the script."""
    interrupts.hush()
    try:
        importlib.import_module("typer")
        importlib.import_module("rich")
        importlib.import_module("yaml")
    except ImportError:
        sys.stderr.write("headrace: the command line is an extra: pip install 'headrace[cli]'\n")
        sys.exit(2)
    importlib.import_module("headrace.cli.streams").prepare()
    try:
        code = importlib.import_module("headrace.cli.app").run(sys.argv[1:])
    finally:
        interrupts.hush()
    sys.exit(code)
