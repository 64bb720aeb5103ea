"""The listeners that are notified of commits."""

from collections.abc import Sequence

from headrace_server.domain.change import Change
from headrace_server.domain.event import Event
from headrace_server.domain.ports.jobs import Submission


class CommitListener:
    """A listener of the store that is notified of commits.

    It receives only the calls that it overrides.

    Called on the event loop's thread. An error of one is logged, and keeps the others from nothing.
    """

    def submitting(self, submission: Submission) -> None:
        """Note that a job is just being put into the next transaction.

        What is asked of the store within this call goes into the same one.
        """

    def committed(self, changes: Sequence[Change]) -> None:
        """Take the changes that this store has committed, before any caller is answered.

        There is one Change for each job, with all its events.

        Deletion is no change.
        """

    def overheard(self, events: Sequence[Event]) -> None:
        """Take the events that other stores of the database have committed.

        The events of each job come in order, each once.

        They come a little later, and some may be missing after trouble: `JobReader.newer` finds
        those.
        """

    def opened(self) -> None:
        """Note that more jobs may be claimed although no job here has changed.

        A gate was changed, was busy, or has room again.
        """
