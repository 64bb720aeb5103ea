"""Timers: what time brings to jobs."""

from typing import Protocol


class TimerStore(Protocol):
    """Where jobs wait for their time."""

    async def run_timers(self) -> int | None:
        """Promote and expire the jobs whose time has come; answer the time of the next timer, if there is one."""
        ...
