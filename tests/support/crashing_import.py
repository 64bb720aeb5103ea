"""A job module whose import ends a worker, and not the loader, until a gate exists."""

import os
import sys
from pathlib import Path

from headrace.jobs import JobContext, job

if (
    "headrace_server.work.catalog.loader" not in sys.modules
    and not Path(os.environ["SLOW_IMPORT_GATE"]).exists()
):
    os._exit(9)


@job("crashing.noop")
def noop(ctx: JobContext) -> None:
    """Do nothing."""
