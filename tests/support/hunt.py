"""A hunt for the moment in which a stop meets something else."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from headrace import AsyncClient
from headrace.errors import WrongStatus
from headrace.handle import AsyncJobHandle
from headrace.info import StopResult
from support.checker import judge
from support.checker_evidence import Evidence
from support.history import statuses, stop_phases
from support.server import Server

ENDS = {"STOPPED": {"ABORTED"}, "FINISHED_FIRST": {"SUCCEEDED"}, "ALREADY_FINISHED": {"SUCCEEDED"}}
GRACE = 10.0


class Hunt:
    """Rounds of a race.

    The stop's delay is moved towards the other side of the race after each round.

    stopper: the client that stops, where it is not the one that submits.
    """

    def __init__(
        self, client: AsyncClient, folder: Path, rounds: int, *, stopper: AsyncClient | None = None
    ) -> None:
        self.evidence = Evidence(folder / "log")
        self.delay = 0.002
        self.results: list[StopResult] = []
        self._client = client
        self._stopper = stopper or client
        self._rounds = rounds

    async def submit(self, *, hold: bool = False, gate: Path | None = None) -> AsyncJobHandle:
        """Submit a job of the race; with a gate, one that stands before it."""
        request = f"{self.evidence.log} {len(self.evidence.submits)}"
        job = await self._client.submit(
            "chaos.work",
            {"log": str(self.evidence.log), "gate": str(gate or "")},
            request_id=request,
            description=request,
            hold=hold,
        )
        self.evidence.submitted(request, job.job_id)
        return job

    async def round(
        self, job: AsyncJobHandle, against: Awaitable[object], late: Callable[[StopResult], bool]
    ) -> None:
        """Stop a job while `against` goes on; `late` says that the stop has lost the race."""
        _, result = await asyncio.gather(against, self._stop(job))
        self.results.append(result)
        self.delay = self.delay * 0.8 if late(result) else self.delay * 1.2 + 0.00005

    async def _stop(self, job: AsyncJobHandle) -> StopResult:
        await asyncio.sleep(self.delay)  # the race itself
        stop = self._stopper.stop(job.job_id, grace_period=GRACE, wait_timeout=30)
        return self.evidence.stopped(GRACE, await stop)

    def check(self, server: Server, tenant: str) -> Counter[tuple[str, ...]]:
        """Check every round; answer how often each sequence of statuses came."""
        with server.client(tenant=tenant) as client:
            report = judge(self.evidence, client)
        assert len(self.results) == self._rounds
        for result in self.results:
            job, events = report.jobs[result.job.job_id], report.histories[result.job.job_id]
            assert job.status in ENDS[result.outcome], f"{result.outcome} of a job that {job.status}"
            assert bool(stop_phases(events)) == (result.outcome != "ALREADY_FINISHED")
        stopped = {result.job.job_id for result in self.results}
        seen = Counter(
            tuple(statuses(events)) for job_id, events in report.histories.items() if job_id in stopped
        )
        print("\n".join(f"{count:6} {' '.join(moves)}" for moves, count in seen.most_common()))
        return seen


async def release(job: AsyncJobHandle) -> None:
    """Queue a held job; the stop may have come first."""
    with suppress(WrongStatus):
        await job.release()


def ran(result: StopResult) -> bool:
    """Whether the job had got its permit before the stop came."""
    return bool(result.job.attempts)
