"""The processor time and the memory of a process and of all that it has started."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """It, and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def seconds(pids: list[int]) -> float:
    """Processor time that they have used so far."""
    total = 0.0
    for pid in pids:
        # Behind the name, which may hold anything: utime and stime are fields 14 and 15 of the
        # whole line.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def mebibytes(pids: list[int]) -> float:
    """Memory of theirs, what several share divided among them (PSS)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024
