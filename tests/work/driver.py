"""A server process for tests that end it: it has a lock and a pool with one run, and waits for its
end.

Its argument is a JSON object: folder, silence. When the run stands, a file "pids" has the numbers
of the processes.
"""

import asyncio
import fcntl
import json
import os
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from work.pool_jobs import note  # noqa: E402 - the path comes first
from work.pool_support import note_of, workshop  # noqa: E402 - the path comes first


async def main(folder: Path, silence: float) -> None:
    """Hold the lock, start the run, and stay."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    async with workshop(folder, size=2, lock_fds=[lock], silence=silence) as shop:
        shop.send("grandchildren", pids=folder / "grandchildren", stay=True)
        _key, stubborn = await shop.started("stubborn", slot="worker-2")
        pids = [int(pid) for pid in (await note_of(folder / "grandchildren")).split()]
        children = [shop.pool.pid("worker-1"), shop.pool.pid("worker-2")]
        note(
            str(folder / "pids"),
            json.dumps({"supervisor": shop.pool.supervisor_pid, "below": [*pids, stubborn, *children]}),
        )
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    asyncio.run(main(Path(arguments["folder"]), arguments["silence"]))
