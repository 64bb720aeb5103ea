"""The durable truth. The only room that knows SQL.

store      SqlStore: the Store of domain.ports, and who does what for it · answers, what it is only asked
writer     the group commit: the thread that writes (essay)
lease      the heartbeat of this instance · instances, the rows of all · tail, what others commit (essay)
marker     a COMMIT whose answer was lost is settled (essay) · order, what two writers tell · waiting, what waits
work       what it is asked to do · ledger, what one transaction knows and will write
claims     whose turn it is (essay) · gates, what is let through (essay) · lanes, what waits · traffic, how much of it
again      when a claim is worth another try because of a limit
derived    the tables that follow from the jobs
reads      one job and its history · listing, many jobs · payloads, their wide part
schema     the tables · rows, job <-> row · migrate and migrations/, their versions · steps, climb, the ways to this one
dialect/   all that differs between SQLite and PostgreSQL
statement  what goes to the driver as it is · transaction, one that may lose its connection
lock       one server for one SQLite file (essay) · inode, the file behind a name · mounts, on what it lies
refusal    why a database is not opened
inspection a look at a database file that changes nothing · survey, at a PostgreSQL database: loaded by who looks, with the driver
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
