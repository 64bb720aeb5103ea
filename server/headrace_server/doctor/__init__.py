"""`headrace doctor`: everything that keeps a server from working, found before it is started.

It looks at what a server with these settings would use, and does what the server would do with it:

- `database`  the file: its folder, its lock, its schema, its integrity. Or `postgresql`: does it
  answer, its version and
              encoding, what its user may do, its schema, connections, durability, old transactions.
- `modules`   the job modules, imported in a process of their own.
- `workers`   a pool of one worker, started and ended; descriptors.
- `folders`   workspaces and temporary files: can they be written, is there room.
- `broker`    RabbitMQ, where one is named: does it answer, and let us in.
- `clock`     what time it is.
- `address`   the port, or who answers there.

Each comes to findings (`finding`), which `report` writes.

Nothing on disk is changed: what it writes to see whether it can is gone when it ends. (SQLite's
index of a log that a killed server left, -shm, is made anew, as by everybody who opens the file.)
It may be run beside a server.
"""

from collections.abc import Iterator
from itertools import chain

from headrace_server.config import Settings
from headrace_server.doctor import address, broker, clock, database, folders, modules, postgresql, workers
from headrace_server.doctor.finding import Finding, Level
from headrace_server.doctor.report import show

__all__ = ["Finding", "Level", "examine", "show"]


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one thing after the other."""
    # Workers come before the address: asking who answers there starts threads of gRPC.
    return chain(
        postgresql.look(settings.database_url, durable=settings.durable)
        if settings.shared
        else database.look(settings.database_url),
        modules.look(settings.jobs, entry_points=settings.entry_points, seconds=settings.load_time),
        workers.look(settings.workers),
        folders.look(settings),
        broker.look(settings),
        clock.look(),
        address.look(settings),
    )
