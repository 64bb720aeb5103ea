"""What one transaction knows and will write: the jobs as stored, and as they will be.

    load(ids) ──> jobs ──decisions──> fold(change), fold(change) … ──> flush()

Decisions read `jobs`, so each sees what those before it in the batch have done. flush writes each
changed job once, in its last state, every event in order, and what follows in the derived tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from sqlalchemy import Connection, and_, bindparam, delete, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from headrace_server.domain.change import Change, merge
from headrace_server.domain.errors import JobNotFound
from headrace_server.domain.job import Job
from headrace_server.domain.ports.jobs import Submission
from headrace_server.domain.requests import ANY_STATUS_FIELDS, LIVE_FIELDS
from headrace_server.domain.retention import REQUEST_MEMORY
from headrace_server.domain.spec import SPEC_FIELDS
from headrace_server.store.sql.json_lists import among, pairs
from headrace_server.store.tables import rows
from headrace_server.store.tables.schema import job, job_event, job_parameters, job_result, request
from headrace_server.store.tables.statement import Bulk, Query, delete_by, insert_into
from headrace_server.store.write import derived

_GIVEN_ONCE = {"job_id", "tenant", "create_time", "batch_id", *SPEC_FIELDS} - {
    *ANY_STATUS_FIELDS,
    *LIVE_FIELDS,
}
"""The columns that no change touches.

An UPDATE that names them would write their indexes again.
"""
_ALL = tuple(job.columns.keys())
_CHANGING = tuple(name for name in _ALL if name not in _GIVEN_ONCE)

_new_row = rows.row_maker(_ALL)
_changed_row = rows.row_maker((*_CHANGING, "job_id"))

_wanted = select(*rows.JOB_COLUMNS).where(among(job.c.job_id, "ids")).order_by(job.c.job_id)
_load_jobs = Query(_wanted.with_for_update(key_share=True))
_load_free_jobs = Query(_wanted.with_for_update(key_share=True, skip_locked=True))
_revisions = Query(select(job_event.c.revision).where(job_event.c.job_id == bindparam("job_id")))
_key = pairs("keys")
_load_requests = Query(
    # An outer join begins with the keys, whatever a planner thinks of the table.
    select(_key.c.first, _key.c.second, request.c.job_id, request.c.digest).outerjoin_from(
        _key, request, and_(request.c.tenant == _key.c.first, request.c.request_id == _key.c.second)
    )
)
_new_result = insert(job_result)  # SQLite knows this form of it too
_insert_jobs = insert_into(job)
_update_jobs = Bulk(update(job).where(job.c.job_id == bindparam("key")), (*_CHANGING, "key"))
_insert_parameters = insert_into(job_parameters)
_insert_requests = insert_into(request)
_insert_events = insert_into(job_event)
_clear_results = delete_by(job_result, ["job_id"])
_upsert_results = Bulk(
    _new_result.on_conflict_do_update(
        index_elements=["job_id", "name"], set_={"body": _new_result.excluded.body}
    ),
    job_result.columns.keys(),
)
_forget = Bulk(
    delete(request).where(request.c.job_id == bindparam("made"), request.c.at <= bindparam("until")),
    ("made", "until"),
)
_forget_later = Bulk(
    update(request)
    .values(forget_at=request.c.at + literal_column(str(REQUEST_MEMORY)))
    .where(request.c.job_id == bindparam("made")),
    ("made",),
)
_delete_jobs = [delete_by(table, ["job_id"]) for table in (job, job_parameters, job_result, job_event)]


class Beside(Protocol):
    """Who writes something of its own beside the changes of a transaction: the outbox does."""

    def announce(
        self, connection: Connection, changes: Sequence[Change], stored: Mapping[str, Job | None]
    ) -> None:
        """Write it, before the log has the events of these changes.

        stored: the jobs as they were, None for new ones.
        """
        ...


class UnitOfWork:
    """One transaction of the writer numbered `number`.

    `seq` is the last place in its log, and `now` is its time.

    waiting: how many jobs are held or queued. announcer: what is to be broadcast as well. known:
    jobs of which it is certain what is stored, so that they are not read. Nothing here commits:
    what is flushed becomes true, and may be told, only after the caller's COMMIT.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        number: int,
        seq: int,
        now: int,
        waiting: int,
        announcer: Beside | None = None,
        known: Mapping[str, Job] = MappingProxyType({}),
    ) -> None:
        self.connection = connection
        self.number = number
        self.seq = seq
        self.now = now
        self.waiting = waiting
        self.jobs: dict[str, Job | None] = {}
        """The jobs as they will be; None for one that is not there."""
        self.requests: dict[tuple[str, str], tuple[str, str]] = {}
        """(tenant, request_id) -> (job_id, digest)."""
        self.changes: dict[str, Change] = {}
        """The changes that have been flushed: one Change for each job."""
        self.wrote = False
        """Whether anything has been written. Who writes past the unit of work says so."""
        self._announcer = announcer
        self._known = known
        self._stored: dict[str, Job | None] = {}
        self._pending: dict[str, Change] = {}
        self._submitted: list[Submission] = []
        self._deleted: list[str] = []

    def load(self, job_ids: Iterable[str], *, free: bool = False) -> None:
        """Read the jobs that are not known, in one statement, and let nobody else change them.

        They are locked in the order of their ids, so that nobody waits for one who waits for him.
        free: leave out those that another is changing; who holds others already must not wait.
        """
        wanted = [job_id for job_id in dict.fromkeys(job_ids) if job_id not in self.jobs]
        if self._known:
            wanted = [job_id for job_id in wanted if not self._recall(job_id)]
        if wanted:
            if not free:
                self.jobs.update(dict.fromkeys(wanted))
            load = _load_free_jobs if free else _load_jobs
            for row in load(self.connection, ids=rows.dumps(wanted)):
                stored = rows.job_of(row)
                if stored.kept:
                    stored = self._with_revision(stored)
                self.jobs[stored.job_id] = self._stored[stored.job_id] = stored

    def _recall(self, job_id: str) -> bool:
        """Whether the job is known as it is stored."""
        known = self._known.get(job_id)
        if known is None:
            return False
        self.jobs[job_id] = self._stored[job_id] = known
        return True

    def _with_revision(self, stored: Job) -> Job:
        """Give a job whose revision cannot be read that of its last event.

        The end of its run must find a place in the log.
        """
        if all(part.name != "revision" for part in stored.kept):
            return stored
        numbers = [number for (number,) in _revisions(self.connection, job_id=stored.job_id)]
        return replace(stored, revision=max((one for one in numbers if isinstance(one, int)), default=0))

    def load_requests(self, keys: Iterable[tuple[str, str]]) -> None:
        """Read which jobs were made with these (tenant, request_id)."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self.requests]
        if wanted:
            for tenant, request_id, *made in _load_requests(self.connection, keys=rows.dumps(wanted)):
                if made[0] is not None:
                    self.requests[tenant, request_id] = (made[0], made[1])

    def job(self, job_id: str, tenant: str | None = None) -> Job:
        """The job as it will be. Raises JobNotFound, for one of another tenant too."""
        found = self.jobs.get(job_id)
        if found is None or tenant not in (None, found.tenant):
            raise JobNotFound(job_id)
        return found

    def submit(self, submission: Submission, change: Change) -> None:
        """A new job with its parameters, and its request_id if it has one."""
        self._stored[submission.job_id] = None
        self._submitted.append(submission)
        if submission.request_id:
            made = (submission.job_id, submission.digest)
            self.requests[submission.tenant, submission.request_id] = made
        self.fold(change)

    def fold(self, change: Change) -> Change:
        """Take a change over, and give it back. One that changes nothing is not written."""
        job_id = change.job.job_id
        before = self.jobs.get(job_id)
        if change.job is not before:
            self.waiting += change.job.waits - (before is not None and before.waits)
            self.jobs[job_id] = change.job
            earlier = self._pending.get(job_id)
            self._pending[job_id] = change if earlier is None else merge(earlier, change)
        return change

    def delete(self, ended: Job) -> None:
        """Delete an ended job with its payload and history.

        Its request_id stays known for REQUEST_MEMORY from its submit.

        Nothing of it is in the derived tables: a job that has ended waits for nothing.
        """
        self.jobs[ended.job_id] = None
        self._deleted.append(ended.job_id)

    def flush(self) -> None:
        """Write what was folded since the last flush."""
        self.wrote = self.wrote or bool(self._submitted or self._pending or self._deleted)
        if self._submitted:
            self._flush_submitted()
        if self._pending:
            self._flush_changes()
        if self._deleted:
            self._flush_deleted()

    def _flush_deleted(self) -> None:
        gone = [(job_id,) for job_id in self._deleted]
        self._deleted = []
        for delete_from in _delete_jobs:
            delete_from(self.connection, gone)
        until = self.now - REQUEST_MEMORY
        _forget(self.connection, [(job_id, until) for (job_id,) in gone])
        _forget_later(self.connection, gone)

    def _flush_submitted(self) -> None:
        _insert_parameters(self.connection, [(s.job_id, s.parameters) for s in self._submitted])
        # In the order of their keys: two stores that are given the same ones wait for each other in
        # turn.
        _insert_requests(
            self.connection,
            sorted(
                (s.tenant, s.request_id, s.job_id, s.digest, self.now, None)
                for s in self._submitted
                if s.request_id
            ),
        )
        self._submitted = []

    def _flush_changes(self) -> None:
        changes = list(self._pending.values())
        self._pending = {}
        jobs = [(self._stored[change.job.job_id], change.job) for change in changes]
        _insert_jobs(self.connection, [_new_row(after) for before, after in jobs if before is None])
        _update_jobs(self.connection, [_changed_row(after) for before, after in jobs if before is not None])
        self._flush_results(changes)
        self._flush_events(changes)
        derived.write_differences(self.connection, jobs)
        for change in changes:
            job_id = change.job.job_id
            self._stored[job_id] = change.job
            known = self.changes.get(job_id)
            self.changes[job_id] = change if known is None else merge(known, change)

    def _flush_events(self, changes: list[Change]) -> None:
        if self._announcer is not None:
            self._announcer.announce(self.connection, changes, self._stored)
        events = [event for change in changes for event in change.events]
        first = self.seq + 1
        self.seq += len(events)
        _insert_events(
            self.connection,
            [rows.event_row(event, self.number, seq) for seq, event in enumerate(events, first)],
        )

    def _flush_results(self, changes: list[Change]) -> None:
        _clear_results(self.connection, [(c.job.job_id,) for c in changes if c.clear_results])
        _upsert_results(
            self.connection,
            [(c.job.job_id, name, body) for c in changes for name, body in c.results.items()],
        )
