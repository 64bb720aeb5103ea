"""Running a job: the logic that both clients share for what follows a job from its submit.

This module does no input or output.
"""

from collections.abc import Callable
from dataclasses import dataclass

from headrace.info import Finished, JobEvent, JobInfo, Progress, Snapshot, Update

LEAVE_TIMEOUT = 5.0
"""How long a caller that leaves is kept, in seconds, while the job is being stopped behind it."""


@dataclass(frozen=True, slots=True)
class Listener:
    """The callbacks of a caller that runs a job."""

    on_submitted: Callable[[JobInfo], object] | None
    on_event: Callable[[JobEvent], object] | None
    on_progress: Callable[[Progress], object] | None

    @property
    def listens(self) -> bool:
        """Whether there is any, so that updates are wanted."""
        return any((self.on_submitted, self.on_event, self.on_progress))

    def tell(self, update: Update) -> JobInfo | None:
        """Passes an update on. Answers the job when it has ended."""
        match update:
            case Finished(job):
                return job
            case Snapshot(job) if self.on_submitted is not None:
                self.on_submitted(job)
            case JobEvent() if self.on_event is not None:
                self.on_event(update)
            case Progress() if self.on_progress is not None:
                self.on_progress(update)
            case _:
                pass
        return None


def leaving_reason(error: BaseException) -> str:
    """The reason that is given to the job when its caller leaves."""
    return f"the caller of run() left: {type(error).__name__}"
