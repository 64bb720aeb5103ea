"""What a handle knows of its job, in both clients."""

from headrace.info import JobInfo


class Held:
    """The attributes that both kinds of handle share."""

    def __init__(self, job_id: str, tenant: str, info: JobInfo | None, *, existing: bool) -> None:
        self.job_id = job_id
        self.tenant = tenant
        """The tenant as the caller gave it; empty means the server's default."""
        self.info = info
        """The job as it stood when this handle was last answered; None when it never was."""
        self.existing = existing
        """True when an earlier submit with the same request_id had made the job."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.job_id!r})"

    def _seen(self, job: JobInfo) -> JobInfo:
        self.info = job
        return job
