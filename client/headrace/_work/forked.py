"""Ends a process that a job has forked once it comes back from the job's code.

Such a process must not become a second worker.

It ends as a program does: with the code of sys.exit, with 1 and a traceback when something was
raised, with 0 on a return. Functions of atexit are not called: they are those of the worker, as the
open resources are.
"""

import contextlib
import os
import sys
from typing import NoReturn

from headrace._work.failure import format_traceback


def leave(error: BaseException | None) -> NoReturn:
    """End this process: error is what left the job's code, if anything did."""
    code = 1
    try:
        code, words = _last(error)
        if words:
            sys.stderr.write(words + "\n")
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
    finally:
        os._exit(code)


def _last(error: BaseException | None) -> tuple[int, str]:
    """The exit code, and what goes to stderr."""
    if error is None:
        return 0, ""
    if not isinstance(error, SystemExit):
        return 1, format_traceback(error).rstrip()
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF, ""
    return 1, str(error.code)
