"""The job of the benchmarks: it does nothing, so all that is measured is Headrace."""

from headrace.jobs import JobContext, job

NOOP = "bench.noop"


@job(NOOP)
def noop(ctx: JobContext) -> None:
    """Do nothing."""
