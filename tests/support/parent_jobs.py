"""A job that waits for a job of the same server.

How long until it is warned is shortened here, in the workers alone.
"""

from headrace import Client
from headrace._flows import blocked, wait
from headrace.jobs import JobContext, job

blocked.PATIENCE = wait.PATIENCE = 0.1  # type: ignore[attr-defined] # its own name for it


@job("parent.child")
def child(ctx: JobContext) -> str:
    """Do nothing."""
    return ctx.job_id


@job("parent.waits")
def waits(ctx: JobContext, how: str) -> None:
    """Wait for a child, which waits for this worker."""
    with Client(tenant=ctx.tenant) as client:
        handle = client.submit("parent.child")
        if how == "wait":
            handle.wait()
        else:
            list(handle.watch())
