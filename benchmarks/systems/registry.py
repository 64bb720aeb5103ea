"""All systems that are measured side by side."""

from benchmarks.bench import Bench
from benchmarks.peers.registry import PEERS
from benchmarks.systems.headrace import DATABASES, Headrace
from benchmarks.systems.system import System

HEADRACE = tuple(f"Headrace, {database}" for database in DATABASES)


def systems(bench: Bench) -> list[System]:
    """Headrace on each database, then its peers."""
    return [*(Headrace(bench, database) for database in DATABASES), *(made(bench) for made in PEERS)]
