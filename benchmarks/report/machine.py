"""Where and with what a run was made: no name and no path of the machine."""

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("headrace", "grpcio", "protobuf", "SQLAlchemy", "psycopg")


def load() -> str:
    """The load averages of the last 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def lines(before: str, after: str) -> list[str]:
    """The machine, the day, the versions, and the load before and after."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"- Machine: {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, Linux {platform.release().split('-')[0]}",
        f"- Day: {datetime.now(UTC):%Y-%m-%d}",
        f"- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}",
        f"- Load average (1, 5, 15 minutes): {before} before, {after} after",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
