"""A server in which the answer to a start permit comes late: after the job was stopped.

    python -m support.late_answers serve        the product, with its store replaced through app.py

What the store tells of its commits, and the answer to each write, are two ways to the same loop:
under load the second may come behind what was committed later.
"""

import asyncio
import sys
from typing import Final

from headrace_server.domain.change import Change
from headrace_server.domain.job import Status
from headrace_server.domain.ports.jobs import Decision
from headrace_server.store.store import SqlStore
from support.phases import serve

COMMAND = (sys.executable, "-m", "support.late_answers")
LOOK: Final = 0.005


class LateStore(SqlStore):
    """Commits at once, and answers with a permit only when the job has been told to stop."""

    async def apply(self, job_id: str, decide: Decision, *, tenant: str | None = None) -> Change:
        """Change one job."""
        answer = await super().apply(job_id, decide, tenant=tenant)
        job = answer.job
        while job.status is Status.RUNNING and job.stop is None:
            await asyncio.sleep(LOOK)
            job = (await self.get(job_id, tenant=job.tenant, payload=False)).job
        return answer


if __name__ == "__main__":
    serve(store=LateStore)
