"""Nothing is broadcast: what stands for the relay of an instance that has no broker."""

from collections.abc import Mapping

from headrace_server.domain.job import Job, Progress
from headrace_server.domain.ports.commits import CommitListener


class NoRelay(CommitListener):
    """The relay of an instance that broadcasts nothing: its methods do nothing."""

    def start(self) -> None:
        """Nothing is to be sent."""

    def progressed(self, job: Job, progress: Progress) -> None:
        """Only watchers are told."""

    async def counters(self) -> Mapping[str, int]:
        """There is nothing to count."""
        return {}

    async def close(self, grace: float) -> None:
        """There is nothing to wait for."""
