"""How a stop reaches the code of a job: it is told once.

It is told by reading `ctx.stop_requested` as True, or by JobStopped at the next use of the context.
Who was told by the flag gets the exception only by asking for it with check_stop; who had the
exception gets no second one, so that its clean-up can report.
"""

from collections.abc import Callable

from headrace._work.attempt import JobStopped, Reporter


class StopDelivery:
    """Whether a stop was asked for, and whether the job knows."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._told = False
        self.raised = False
        self.interrupted = False
        """Whether the job's code was cut off where it stood.

        A signal can do so, and the cancellation of a coroutine.
        """
        self.cancels: Callable[[], bool] = bool
        """Whether an exception raised now may cancel coroutines.

        These are the other coroutines of the task group in which it is raised.
        """

    @property
    def seen(self) -> bool:
        """Whether the stop has reached the job's code."""
        return self._told or self.raised

    def requested(self) -> bool:
        """Whether a stop was asked for; the asker then knows."""
        self._told = self._told or self._reporter.stop_requested()
        return self._told

    def due(self, *, told: bool = True) -> bool:
        """Return whether JobStopped is still to be raised in the job.

        told: whether it is enough that the job has read the flag.
        """
        return not self.raised and not (told and self._told) and self._reporter.stop_requested()

    def check(self, *, told: bool = True) -> None:
        """Raise JobStopped if it is due."""
        if self.due(told=told):
            raise self.take()

    def take(self) -> JobStopped:
        """The exception that tells the job, which thereby knows."""
        self.raised = True
        self.interrupted = self.interrupted or self.cancels()
        return JobStopped(self._reporter.stop_reason())
