"""The systems beside each other: how durable a submit is, how an end is known, how the work is
done.
"""

from benchmarks.bench import Bench
from benchmarks.peers.environment import versions_of
from benchmarks.peers.peer import Peer
from benchmarks.systems.registry import systems


def system_lines(bench: Bench) -> list[str]:
    """The table, as Markdown."""
    lines = [
        "| system | version | a submit that is answered is on the disk | a caller knows that a job is done by | workers |",
        "|---|---|---|---|---|",
    ]
    for system in systems(bench):
        version = versions_of(system.name) if isinstance(system, Peer) else "this commit"
        lines.append(f"| {system.name} | {version} | {system.durable} | {system.known} | {system.work} |")
    return [*lines, ""]
