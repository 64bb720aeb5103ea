"""The tables of the database.

Times are microseconds since 1970 UTC. JSON is TEXT, and NULL when there is nothing to say.

    job ──┬── job_parameters   the wide part, written once
          ├── job_result       "" is what the job returned
          ├── job_event        the log: gap-free revisions for each job; (writer, seq) is the place in the log
          ├── ready            exactly the jobs that may be claimed now, in the order in which they are      ┐ derived
          └── timer            what is due when: the end of a wait, the expiry of a job that has not begun   ┘ from job
    request                    request_id -> job; outlives the job, until forget_at
    duty                       what one instance at a time does: how often it was done, or who does it; see retention, relay
    writer                     one row for each connection that writes: its number is the first half of a place
    batch                      the COMMITs of a writer on a shared database; see write.batch_marker
    instance                   who serves this database, and its beat; see domain.lease
    outbox                     events that no broker has confirmed yet; see outbox
    staged_batch               batches that are not whole yet: being staged, or decided; see batch.batches
    staged_piece               the jobs of those, as texts
    gate                       what an operator has said of a queue, a tenant or a type; see gates

`ready` and `timer` follow from the job's row alone (`write.derived`) and are written in its
transaction. There are no foreign keys: who holds a job's row keeps its other rows, and a check of
each insert would cost what an index costs.

Types are plain so that the tables mean the same on PostgreSQL. Tables whose rows are narrow keep
them in the primary key (WITHOUT ROWID); those whose rows are wide do not, or the tree would have no
fan-out.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by its bytes everywhere: a database's language must not say what comes first."""

HELD = text("status IN (3, 4)")
"""The condition for jobs that are TO_BE_RUN or RUNNING.

It is literal text, in index and query alike, because a partial index serves no bound parameter.
"""

ENDED = text("end_time IS NOT NULL AND NOT locked")
"""The condition for jobs that retention may delete, likewise as literal text."""

BATCHED = text("batch_id <> ''")
"""The condition for jobs of batches: likewise."""

FORGOTTEN = text("forget_at IS NOT NULL")
"""The request_ids whose job is gone: likewise."""

OPEN = text("NOT parked")
"""The broadcasts that may be published now: likewise."""

PARKED = text("parked")
"""Those that no queue had wanted: likewise."""

job = Table(
    "job",
    metadata,
    # A column for each field of domain.job.Job, by its name. A new one is the last: so a migration
    # adds it.
    Column("job_id", TEXT, primary_key=True),
    Column("tenant", TEXT, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("description", TEXT, nullable=False),
    Column("owner", TEXT, nullable=False),
    Column("session_id", TEXT, nullable=False),
    Column("queue", TEXT, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("labels", TEXT),
    Column("run_after", BigInteger),
    Column("expire_time", BigInteger),
    Column("timeout", BigInteger),
    Column("retry", TEXT),
    Column("status", SmallInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("status_time", BigInteger, nullable=False),
    Column("queue_time", BigInteger),
    Column("start_time", BigInteger),
    Column("end_time", BigInteger),
    Column("next_attempt_time", BigInteger),
    Column("due_time", BigInteger),
    Column("claim", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("instance", TEXT, nullable=False),
    Column("worker", TEXT, nullable=False),
    Column("locked", Boolean, nullable=False),
    Column("progress", TEXT),
    Column("error", TEXT),
    Column("attempts", TEXT),
    Column("stop", TEXT),
    Column("message_count", Integer, nullable=False),
    Column("dropped_count", Integer, nullable=False),
    Column("traceparent", TEXT, nullable=False, server_default=""),
    Column("batch_id", TEXT, nullable=False, server_default=""),
    # Lists and counts of one tenant: newest first, by status, by type, by owner. Each also gives
    # its order.
    Index("job_by_create_time", "tenant", "create_time", "job_id"),
    Index("job_by_status", "tenant", "status", "status_time", "job_id"),
    Index("job_by_status_time", "tenant", "status_time", "job_id"),
    Index("job_by_type", "tenant", "type", "create_time", "job_id"),
    Index("job_by_owner", "tenant", "owner", "create_time", "job_id"),
    # What instances hold: as many rows as there are slots, for recovery.
    Index("job_held", "job_id", sqlite_where=HELD, postgresql_where=HELD),
    # The jobs of a batch. One of its own costs nothing here.
    Index("job_by_batch", "batch_id", "job_id", sqlite_where=BATCHED, postgresql_where=BATCHED),
    # What has ended, oldest first, for retention.
    Index("job_ended", "status", "end_time", sqlite_where=ENDED, postgresql_where=ENDED),
)

job_parameters = Table(
    "job_parameters",
    metadata,
    Column("job_id", TEXT, primary_key=True),
    Column("body", TEXT, nullable=False),
)

job_result = Table(
    "job_result",
    metadata,
    Column("job_id", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("body", TEXT, nullable=False),
)

job_event = Table(
    "job_event",
    metadata,
    Column("job_id", TEXT, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("writer", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("body", TEXT),
    UniqueConstraint("writer", "seq"),
    sqlite_with_rowid=False,
)

ready = Table(
    "ready",
    metadata,
    # Queue and type come first: a claim seeks the lanes (queue, type, tenant) that it may take
    # from, and never walks over jobs of a queue or a type that it may not take.
    Column("queue", TEXT, primary_key=True),
    Column("type", TEXT, primary_key=True),
    Column("tenant", TEXT, primary_key=True),
    Column("neg_priority", Integer, primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("job_id", TEXT, primary_key=True),
    Column("owner", TEXT, nullable=False),
    # Where owners have limits, those that are at theirs are passed at a seek each.
    Index("ready_by_owner", "queue", "type", "tenant", "owner", "neg_priority", "at", "job_id"),
    sqlite_with_rowid=False,
)

timer = Table(
    "timer",
    metadata,
    Column("at", BigInteger, primary_key=True),
    Column("kind", SmallInteger, primary_key=True),
    Column("job_id", TEXT, primary_key=True),
    sqlite_with_rowid=False,
)

request = Table(
    "request",
    metadata,
    Column("tenant", TEXT, primary_key=True),
    Column("request_id", TEXT, primary_key=True),
    Column("job_id", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("forget_at", BigInteger),
    Index("request_by_job", "job_id"),
    Index("request_forgotten", "forget_at", sqlite_where=FORGOTTEN, postgresql_where=FORGOTTEN),
    sqlite_with_rowid=False,
)

duty = Table(
    "duty",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("turn", BigInteger, nullable=False),
    Column("holder", TEXT, nullable=False, server_default=""),
)

DUTIES = ("broadcast", "retention")
"""The rows that `duty` has from the beginning."""

writer = Table(
    "writer",
    metadata,
    Column("writer", Integer, primary_key=True),
    Column("start_time", BigInteger, nullable=False),
    Column("instance", TEXT, nullable=False, server_default=""),
)

instance = Table(
    "instance",
    metadata,
    Column("instance", TEXT, primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("about", TEXT, nullable=False),
    # What somebody has seen: this beat has stood still for so long.
    Column("still_beat", BigInteger, nullable=False, server_default="0"),
    Column("still", BigInteger, nullable=False, server_default="0"),
    # When its death was noticed; 0 of one that lives, and where an older version has noticed it.
    Column("end_time", BigInteger, nullable=False, server_default="0"),
)

batch = Table(
    "batch",
    metadata,
    Column("writer", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

gate = Table(
    "gate",
    metadata,
    Column("gate", TEXT, primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("max_running", Integer),
    Column("max_running_per_owner", Integer),
    Column("weight", Integer, nullable=False),
)

staged_batch = Table(
    "staged_batch",
    metadata,
    Column("batch_id", TEXT, primary_key=True),
    Column("tenant", TEXT, nullable=False),
    Column("instance", TEXT, nullable=False),
    # When it was decided that its jobs exist.
    Column("decide_time", BigInteger),
    sqlite_with_rowid=False,
)

staged_piece = Table(
    "staged_piece",
    metadata,
    Column("batch_id", TEXT, primary_key=True),
    Column("piece", Integer, primary_key=True),
    Column("jobs", Integer, nullable=False),
    Column("body", TEXT, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("place", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("job_id", TEXT, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("previous", Integer, nullable=False),
    Column("parked", Boolean, nullable=False),
    Column("tenant", TEXT, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("body", TEXT),
    Column("traceparent", TEXT, nullable=False, server_default=""),
    Column("payload", TEXT),
    Index("outbox_by_job", "job_id", "place"),
    Index("outbox_open", "place", sqlite_where=OPEN, postgresql_where=OPEN),
    Index("outbox_parked", "place", sqlite_where=PARKED, postgresql_where=PARKED),
)

__all__ = [
    "BATCHED",
    "DUTIES",
    "ENDED",
    "FORGOTTEN",
    "HELD",
    "OPEN",
    "PARKED",
    "TEXT",
    "batch",
    "duty",
    "gate",
    "instance",
    "job",
    "job_event",
    "job_parameters",
    "job_result",
    "metadata",
    "outbox",
    "ready",
    "request",
    "staged_batch",
    "staged_piece",
    "timer",
    "writer",
]
