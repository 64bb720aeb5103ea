"""Clients whose calls and answers are evidence."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headrace import Client, JobHandle, RetryPolicy
from headrace.info import JobInfo, StopResult
from support.checker_evidence import Evidence
from support.follower import Follower


class Witness:
    """A client of the tests that break things; `evidence` keeps what it is answered."""

    def __init__(self, evidence: Evidence, client: Client) -> None:
        self.evidence = evidence
        self.client = client

    def submit(
        self,
        request_id: str,
        job_type: str = "chaos.work",
        parameters: Mapping[str, Any] | None = None,
        *,
        attempts: int = 1,
        **options: Any,
    ) -> JobHandle:
        """Submit what this request_id stands for: a job of support.chaos_jobs, described by it.

        No wait between attempts.
        """
        with self.evidence.calling("submit", self.client.target):
            job = self.client.submit(
                job_type,
                {"log": str(self.evidence.log), **(parameters or {})},
                request_id=request_id,
                description=request_id,
                retry_policy=RetryPolicy(max_attempts=attempts, initial_backoff=timedelta(0)),
                **options,
            )
        self.evidence.submitted(request_id, job.job_id)
        return job

    def stop(
        self, job_id: str, *, grace: float = 10, wait: float = 0, reason: str = "not needed"
    ) -> StopResult:
        """Stop a job; seconds."""
        with self.evidence.calling("stop", self.client.target):
            result = self.client.stop(job_id, reason, grace_period=grace, wait_timeout=wait)
        return self.evidence.stopped(grace, result)

    def wait(self, job_id: str, limit: float = 60) -> JobInfo:
        """Wait for the end of a job."""
        with self.evidence.calling("wait", self.client.target):
            job = self.client.wait(job_id, limit)
        return self.evidence.seen(job)

    def follow(self, job_id: str) -> Follower:
        """Open a watch with messages, on a thread of its own."""
        watch = self.client.watch(job_id, include_messages=True)
        return Follower(self.evidence, job_id, watch, self.client.target)
