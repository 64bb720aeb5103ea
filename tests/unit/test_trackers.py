"""How long a sweep waits for the resource trackers of multiprocessing, which unlink what the dead have
left.
"""

import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = """
import os, subprocess, sys, time
from headrace_server.work.linux import process_tree
process_tree.become_subreaper()
process_tree.TRACKER_IDLE_SECONDS, process_tree.TRACKER_SECONDS = map(float, sys.argv[2:])
read, write = os.pipe()
code = "import os, sys, time; os.write(%d, b'1'); " % write + sys.argv[1]
tracker = subprocess.Popen([sys.executable, "-c", code, "multiprocessing.resource_tracker"], pass_fds=[write])
os.read(read, 1)
statuses, running = process_tree.sweep(time.sleep)
print(statuses[tracker.pid], running)
"""
WORKS = "exec('while time.process_time() < 0.6: pass'); os._exit(3)"
WORKS_ON = "exec('while True: pass')"
IDLES = "time.sleep(1000)"


@pytest.mark.parametrize(
    ("does", "idle", "limit", "status"),
    [
        pytest.param(WORKS, 0.05, 1000, 3 << 8, id="at work"),
        pytest.param(IDLES, 0.05, 1000, 9, id="asleep"),
        pytest.param(WORKS_ON, 1000, 0.05, 9, id="at work for too long"),
    ],
)
def test_a_tracker_ends_its_work_however_busy_the_machine_is(
    tmp_path: Path, does: str, idle: float, limit: float, status: int
) -> None:
    """A tracker that still wants the processor is waited for; one that only sleeps, and one that
    never ends, are killed.
    """
    asked = [sys.executable, "-c", SWEEP, does, str(idle), str(limit)]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{status} []\n"
