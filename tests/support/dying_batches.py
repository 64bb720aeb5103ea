"""A server that kills itself at a step of a batch: python -m support.dying_batches.

DIE_AT in its environment is such as "BringIn 2": with SIGKILL after two of them, in the third, before
its COMMIT. Without it the server lives.
"""

import os
import signal
import sys
from typing import Any, Final

from headrace_server.store.batch import operations
from headrace_server.store.store import SqlStore
from support.phases import serve

COMMAND: Final = (sys.executable, "-m", "support.dying_batches")
DIE_AT: Final = "HEADRACE_TEST_DIE_AT"


def plant(name: str, after: int) -> None:
    """Have the process die with the operation of this name, when it has done what it does."""
    kind = getattr(operations, name)
    apply = kind.apply
    done = 0

    def dies(self: Any, unit: Any) -> Any:
        nonlocal done
        answer = apply(self, unit)
        unit.flush()
        if done == after:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        return answer

    kind.apply = dies


if __name__ == "__main__":
    if where := os.environ.get(DIE_AT):
        step, count = where.split()
        plant(step, int(count))
    serve(store=SqlStore)
