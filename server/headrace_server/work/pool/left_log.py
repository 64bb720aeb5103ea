"""Log what runs leave in their workers, once for each type and thing.

Once is enough: a type that leaves something does so each time.
"""

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)


class LeftLog:
    """The log of one pool."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def note(self, worker: str, left: Mapping[str, Any]) -> None:
        """Log that a run of a type has left something in its worker.

        The worker was replaced, or the thing was put back. `left` is as the frame has it.
        """
        type_name, what, detail = left["type"], left["what"], left.get("detail")
        if (type_name, what) in self._told:
            return
        self._told.add((type_name, what))
        after = "such workers are replaced" if left.get("replaced") else "it is put back after each run"
        named = f"{what} ({detail})" if detail else what
        log.warning(
            "runs of %s leave %s in their worker: %s", type_name, named, after, extra={"worker": worker}
        )

    def unowned(self, worker: str, text: str) -> None:
        """Something was written to the descriptors of a worker that runs share."""
        if ("", "") not in self._told:
            self._told.add(("", ""))
            log.warning(
                "a subprocess or C code has written in a worker that several runs share: "
                "that is the output of no job, and is left out (%.200s)",
                text,
                extra={"worker": worker},
            )

    def stray(self, worker: str, thread: str, text: str) -> None:
        """A thread of a module or resource has printed something, which is no job's."""
        if ("", thread) not in self._told:
            self._told.add(("", thread))
            log.warning(
                "the thread %s of a job module or resource prints: that is the output of no job, and is left out (%s)",
                thread,
                text,
                extra={"worker": worker},
            )
