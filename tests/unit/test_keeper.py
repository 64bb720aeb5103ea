"""What a program of the tests' own leaves behind ends with it, and comes to nobody else."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_server.work.linux.process_tree import Process, descendants
from support.rabbitmq import KEEPER
from support.server import until

# A helper that detaches itself as epmd does: its parent ends at once, and it has a session of its
# own.
DETACHES = "(setsid sleep 1000 &) ; touch ready; exec sleep 1000"
SUBREAPER = """
import subprocess, sys
from headrace_server.work.linux import process_tree
process_tree.become_subreaper()
subprocess.run(sys.argv[1:])
print(process_tree.has_children())
"""


def started(folder: Path) -> "tuple[subprocess.Popen[bytes], list[Process]]":
    """A keeper, and what is below it: the program and the helper."""
    kept = subprocess.Popen([*KEEPER, "sh", "-c", DETACHES], cwd=folder)
    until((folder / "ready").exists, "the helper is there")
    below = until(
        lambda: len(found := descendants(kept.pid)) == 2 and found, "two processes are below the keeper"
    )
    return kept, below


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGUSR1])
def test_a_detached_helper_ends_with_its_program(tmp_path: Path, how: signal.Signals) -> None:
    """A helper that has detached itself stays below the keeper, and both are gone when the keeper
    is.
    """
    kept, below = started(tmp_path)
    assert {process.parent for process in below} == {kept.pid}
    kept.send_signal(how)
    kept.wait(20)
    assert not [process for process in below if Path(f"/proc/{process.pid}").exists()]


def test_no_orphan_comes_to_a_subreaper_above() -> None:
    """A subreaper that runs a keeper has no child when it has ended, though a helper of the program
    was detached.
    """
    asked = [sys.executable, "-c", SUBREAPER, *KEEPER, "sh", "-c", "(setsid true &) ; (setsid sleep 1000 &)"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "False\n"
