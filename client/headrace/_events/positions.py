"""How far a consumer has come with each job."""

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping

JOBS_KEPT = 10_000


class RecentPositions(MutableMapping[str, int]):
    """The last revision of each recently seen job, kept in memory.

    The job whose revision was set longest ago is forgotten first.

    A broker delivers again what was not acknowledged, and a server what was not confirmed: within
    seconds or minutes.
    """

    def __init__(self, kept: int = JOBS_KEPT) -> None:
        self._kept = kept
        self._revisions: OrderedDict[str, int] = OrderedDict()

    def __getitem__(self, job_id: str) -> int:
        return self._revisions[job_id]

    def __setitem__(self, job_id: str, revision: int) -> None:
        self._revisions[job_id] = revision
        self._revisions.move_to_end(job_id)
        if len(self._revisions) > self._kept:
            self._revisions.popitem(last=False)

    def __delitem__(self, job_id: str) -> None:
        del self._revisions[job_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._revisions)

    def __len__(self) -> int:
        return len(self._revisions)
