"""Determine where job modules are looked for."""

import sys
from pathlib import Path


def path_of_jobs() -> list[str]:
    """Return the import path for the processes that import jobs.

    It is the current folder, then this program's own path.

    The server does not put that folder into its own path: no file in it can stand in for a module
    of the server's.
    """
    here = str(Path.cwd())
    return list(dict.fromkeys([here, *(entry or here for entry in sys.path)]))
