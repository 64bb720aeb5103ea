"""Ctrl-C while nothing is under way: the process ends at once, with 130 and without a word.

A KeyboardInterrupt in the middle of an import ends in a traceback, of ours or of a library's. So it
is raised only between `deliver` and `hush`, where there is something to be left in good order.
"""

import os
import signal

INTERRUPTED = 130


def hush() -> None:
    """From now on Ctrl-C ends the process. Where the caller has it ignored it stays ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)


def deliver() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, if it was hushed."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: object) -> None:
    os._exit(INTERRUPTED)
