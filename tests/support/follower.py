"""A watcher on a thread of its own."""

import threading
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

from headrace.errors import InternalError
from headrace.info import Finished, Update
from support.checker_evidence import Evidence
from support.server import until


class Follower:
    """Follows a job to its end, through every death of its server; what went wrong is raised by
    updates().
    """

    def __init__(
        self, evidence: Evidence, job_id: str, watch: Generator[Update, None, None], target: str
    ) -> None:
        """The watch of Client.watch, not begun, on the server or servers of this target."""
        self.job_id = job_id
        self._target = target
        self._evidence = evidence
        self._watch = watch
        self._updates: list[Update] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return not self._thread.is_alive()

    def _follow(self) -> None:
        try:
            with ExitStack() as opened:
                for update in self._watch:
                    if not self._updates:
                        opened.enter_context(self._evidence.calling("watch", self._target))
                    self._updates.append(update)
            self._evidence.watches.append((self.job_id, self._updates))
        except InternalError as error:
            self._evidence.torn.append((self.job_id, str(error)))
            self._error = error
        except BaseException as error:  # noqa: BLE001 - raised on the test's thread
            self._error = error

    def open(self) -> None:
        """Wait until the server has answered."""
        until(lambda: self._updates or self._error, "the watch is open")

    def updates(self, limit: float = 60) -> list[Any]:
        """All that was shown, once the job has ended."""
        self._thread.join(limit)
        if self._error is not None:
            raise self._error
        assert self._updates, "the watch was never answered"
        last = self._updates[-1]
        assert isinstance(last, Finished), f"the watch hangs behind {last}"
        self._evidence.seen(last.job)
        return self._updates
