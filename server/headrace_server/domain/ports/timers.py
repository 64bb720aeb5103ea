"""Timers: what time brings to jobs."""

from typing import Protocol


class TimerStore(Protocol):
    """A store in which jobs wait for their time."""

    async def run_timers(self) -> int | None:
        """Promote and expire the jobs whose time has come.

        Return the time of the next timer, or None when there is none.
        """
        ...
