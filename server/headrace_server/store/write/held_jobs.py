"""The jobs that this store has written last: they are not read again.

    begin    has another connection changed the database since?   then all are forgotten
    load     a job that is known is not read
    COMMIT   what the batch has changed is forgotten before it, and known after it: a batch that
             failed has taught nothing

A run is written twice at least, by the claim that begins it and by its end, each time to the row
that this store has written before. Where nobody else can write in between, or the database says
that nobody has, that row need not be read and decoded.

A job of which a part was kept (see store.tables.decoder) is read each time.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from headrace_server.domain.change import Change
from headrace_server.domain.job import Job

KNOWN_MAX: Final = 1000
"""Jobs that are known at most, of which those that were written first are forgotten first."""


class HeldJobs:
    """What one writer knows of rows, used on its thread."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._state: object = None

    def since(self, state: object) -> Mapping[str, Job]:
        """The jobs that are known in this state of the database.

        None is a state in which nothing is certain.
        """
        if state is None or state != self._state:
            self._jobs.clear()
            self._state = state
        return self._jobs

    def committing(self, job_ids: Iterable[str]) -> None:
        """A batch that has changed these is about to be committed: what becomes of it is open."""
        for job_id in job_ids:
            self._jobs.pop(job_id, None)

    def committed(self, changes: Iterable[Change]) -> None:
        """A batch is committed that has made these changes, since the state was asked for."""
        if self._state is None:
            return
        jobs = self._jobs
        for change in changes:
            job = change.job
            # One that has failed may be as wide as its traceback.
            if not job.ended and not job.kept and job.error is None:
                jobs[job.job_id] = job
        while len(jobs) > KNOWN_MAX:
            del jobs[next(iter(jobs))]
