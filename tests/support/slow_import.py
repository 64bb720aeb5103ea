"""A job module whose import takes until a gate exists, in workers only."""

import os
import sys
import time
from pathlib import Path

from headrace.jobs import JobContext, job

if "headrace_server.work.catalog.loader" not in sys.modules:
    while not Path(os.environ["SLOW_IMPORT_GATE"]).exists():
        time.sleep(0.005)


@job("slow.noop")
def noop(ctx: JobContext) -> None:
    """Do nothing."""
