"""The durable truth. The only room that knows SQL.

store      SqlStore: the ports of domain.ports that ask for a store, and who does what for it
commit_news  what the listeners hear of this store's commits, and of others'
write/     writers, all of one store · writer, the group commit: the thread that writes (essay) · operations, what it is asked to do, of jobs · unit_of_work,
           what one transaction knows and will write · derived, the tables that follow from the jobs
           · due, what time brings · retention, what is deleted · passed_over, what is left for a
           while · batch_marker, a COMMIT whose answer was lost is settled (essay) · commit_order,
           what two writers tell · waiting_count, what waits
claim/     claimer, who asks · claims, whose turn it is (essay) · candidates, what waits · claim_retry, when a limit makes another try
           worth it
gates      what is let through (essay)
read/      reader, what is only asked · one_job · listing, many jobs · queue_stats, how much waits · tail, what others commit (essay)
cluster/   instances, the rows of all · lives, what is written for one · life, that of this one · heartbeat, its thread · recovery, what the dead left
outbox/    rows, the events that are to be broadcast · leadership, who publishes them
tables/    schema · rows, job <-> row · decoder · payloads, the wide part of jobs · statement, what goes to the driver as it is
sql/       all that differs between SQLite and PostgreSQL
opening/   lock, one server for one SQLite file (essay) · inode, the file behind a name · mounts, on what it lies · migrate, steps and
           climb, the versions of the tables · inspect_sqlite and inspect_postgresql, a look that
           changes nothing
errors     why a database is not opened
"""

from headrace_server.store.errors import (
    DatabaseInUse,
    NetworkFilesystem,
    SchemaMismatch,
    StoreRefused,
    StoreUnreachable,
)
from headrace_server.store.opening.inspect_sqlite import SqliteInspection, inspect
from headrace_server.store.opening.lock import Holder, StoreLock, holder, refuse_other_names
from headrace_server.store.opening.mounts import NETWORK_FILESYSTEMS, file_system
from headrace_server.store.sql.sqlite import database_file
from headrace_server.store.store import SqlStore

__all__ = [
    "NETWORK_FILESYSTEMS",
    "DatabaseInUse",
    "Holder",
    "NetworkFilesystem",
    "SchemaMismatch",
    "SqlStore",
    "SqliteInspection",
    "StoreLock",
    "StoreRefused",
    "StoreUnreachable",
    "database_file",
    "file_system",
    "holder",
    "inspect",
    "refuse_other_names",
]
