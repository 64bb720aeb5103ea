"""When a run will end, at the rate of what it has done itself.

    report      started      0/10     5/10          first tick in many      went on at 600/1000
    counted          └──────────┴────────┘ ticks / time between           └─ first report: a mark, no rate

An attempt that goes on where another had come to begins with many ticks that took it no time, and
one that loads a model takes long for the first. So the rate is that between the first report and
the latest; a first report of a single tick is what the run has done since its start.
"""

from headrace_server.domain import bounds
from headrace_server.work.executor import ProgressReport


class Estimate:
    """The estimate of one attempt."""

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None
        """Ticks done and time of the report that the rate is counted from."""

    def end(self, report: ProgressReport, started: int) -> int | None:
        """Return when the attempt will have done all, in microseconds of the epoch, or None.

        The estimate includes this report. It is None while the end cannot be known.
        """
        if self._first is None or report.done < self._first[0]:
            self._first = (report.done, report.at)
        done, since = self._first
        if done == report.done == 1:
            done, since = 0, started
        ticks, took = report.done - done, report.at - since
        if not report.total or ticks <= 0 or took <= 0 or report.done > report.total:
            return None
        # At the rate so far it may end beyond every calendar: then nobody knows when.
        return bounds.time_or_none(report.at + took * (report.total - report.done) // ticks)
