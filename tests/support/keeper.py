"""Runs a program of the tests' own and keeps below itself whatever that program leaves behind.

    python keeper.py PROGRAM [ARGUMENT …]

    SIGTERM -> SIGTERM for the program        SIGUSR1 -> SIGKILL for it
    the program has ended, or whoever started the keeper -> SIGKILL for all that is below the
    keeper, which then ends

A broker starts helpers that detach themselves, every minute anew. Their parents end at once, and an
orphan goes to the nearest subreaper above it. A pytest that has a pool is one
(headrace_server.work.linux.process_tree) and reaps nobody else's processes, so they stayed as
zombies there and were taken for leaks of whatever test was running. Here they end.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from headrace_server.work.linux import process_tree

_PR_SET_PDEATHSIG = 1


def end_with_starter(how: int) -> None:
    """Have the kernel send this signal to this process when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(how))


def main(command: Sequence[str]) -> int:
    """Run the program to its end; answer its exit code, as a shell does."""
    process_tree.become_subreaper()
    program = 0

    def ask(number: int, _frame: FrameType | None) -> None:
        if program:
            os.kill(program, signal.SIGKILL if number == signal.SIGUSR1 else number)

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, ask)
    end_with_starter(signal.SIGUSR1)
    keeper = os.getpid()
    program = os.fork()
    if program == 0:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        process_tree.die_with_parent(keeper)  # should somebody kill the keeper
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    while True:
        pid, status = os.wait()
        if pid == program:
            process_tree.sweep(time.sleep)
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
