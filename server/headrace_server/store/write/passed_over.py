"""Jobs that are passed over for a while, so that they keep none behind them waiting.

The database refuses what is to become of them, or this version cannot read them: a later one may.
"""

from collections.abc import Callable, Iterable


class PassedOver:
    """Which they are now. pause: microseconds until each is tried again; clock: microseconds."""

    def __init__(self, pause: int, clock: Callable[[], int]) -> None:
        self._pause = pause
        self._clock = clock
        self._since: dict[str, int] = {}

    def add(self, job_ids: Iterable[str]) -> None:
        """Pass over these from now on."""
        self._since |= dict.fromkeys(job_ids, self._clock())

    def now(self) -> frozenset[str]:
        """Those that are not to be tried yet."""
        begin = self._clock() - self._pause
        self._since = {job_id: at for job_id, at in self._since.items() if at > begin}
        return frozenset(self._since)

    def next(self) -> int | None:
        """When the first of them is tried again; None when there is none."""
        return min(self._since.values()) + self._pause if self._since else None
