"""Recovery of the jobs that a dead instance has left.

They are settled together if they can be, else job by job.
"""

import logging
from dataclasses import dataclass, replace

from headrace_server.domain import running
from headrace_server.domain.change import Change
from headrace_server.domain.job import Job, JobError, Status
from headrace_server.store.cluster import instances
from headrace_server.store.write.operations import SWEEP_PAGE, Phase, WriteOperation
from headrace_server.store.write.unit_of_work import UnitOfWork
from headrace_server.store.write.writer import Read, Writer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recover(WriteOperation[int]):
    """Settle the jobs held by instances that are not alive; the answer is how many.

    It works in pages of one transaction.

    only: this job alone. in_short: without what cannot be written as it is, see
    running.end_in_short.
    """

    phase = Phase.SWEEP
    error: JobError
    confirmed: bool
    only: str = ""
    in_short: bool = False

    def apply(self, unit: UnitOfWork) -> int:
        """Return how many jobs were held.

        A job that another transaction is changing is left to that transaction, and to the next
        time.
        """
        count = 0
        last = ""
        while page := instances.left_behind(unit.connection, last, SWEEP_PAGE):
            last = page[-1][0]
            page = [(job_id, holder) for job_id, holder in page if not self.only or job_id == self.only]
            unit.load((job_id for job_id, _ in page), free=True)
            for job_id, holder in page:
                found = unit.jobs.get(job_id)
                if found is not None and running.holds(found, found.claim, holder):
                    unit.fold(self._settled(found, unit.now))
                    count += 1
            unit.flush()
        return count

    def _settled(self, found: Job, now: int) -> Change:
        """Return the change that settles a job.

        A defect at one job keeps no other from being settled, and no server from starting.
        """
        try:
            if found.status is Status.TO_BE_RUN or not (self.in_short or found.illegible):
                # Of one that is TO_BE_RUN no code has run: it goes back, for whoever can read it.
                return running.recover(found, now, error=self.error, confirmed=self.confirmed)
        except Exception:
            logger.exception("A lost run could not be settled as it is", extra={"job_id": found.job_id})
        return running.end_in_short(
            found, now, claim=found.claim, instance=found.instance, error=self.error, confirmed=self.confirmed
        )


async def recover(writer: Writer, read: Read, error: JobError, *, confirmed: bool) -> int:
    """Settle every job that is held by an instance which is not alive; answer how many."""
    if together := await writer.try_put(Recover(error, confirmed)):
        return together[0]
    return await _recover_singly(writer, read, error, confirmed=confirmed)


async def _recover_singly(writer: Writer, read: Read, error: JobError, *, confirmed: bool) -> int:
    count = 0
    last = ""
    while page := await read(
        lambda connection, last=last: instances.left_behind(connection, last, SWEEP_PAGE)  # type: ignore[misc] # mypy knows no defaults of lambdas
    ):
        for job_id, _ in page:
            whole = Recover(error, confirmed, job_id)
            count += bool(await writer.try_put(whole) or await writer.try_put(replace(whole, in_short=True)))
        last = page[-1][0]
    return count
