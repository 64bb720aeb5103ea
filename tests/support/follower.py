"""A watcher on a thread of its own."""

import threading
from collections.abc import Generator
from typing import Any

from headrace.info import Finished, Update
from support.server import until


class Follower:
    """Follows a job to its end, through every death of its server; what went wrong is raised by updates()."""

    def __init__(self, watch: Generator[Update, None, None]) -> None:
        """The watch of Client.watch, not begun."""
        self._watch = watch
        self._updates: list[Update] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            for update in self._watch:
                self._updates.append(update)
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
        assert isinstance(self._updates[-1], Finished), f"the watch hangs behind {self._updates[-1]}"
        return self._updates
