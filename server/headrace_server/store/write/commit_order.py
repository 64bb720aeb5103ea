"""What two writers of one store have committed is told in the order in which it was committed.

A job's row is locked until COMMIT, so its changes have an order; but between a COMMIT and the telling of it a thread may
be overtaken. So each says when it is about to commit, and tells only when all who had said so before have told.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition


class CommitOrder:
    """Shared by the writers of a store."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._under_way: set[object] = set()

    @contextmanager
    def commit(self) -> Iterator[Callable[[], None]]:
        """From just before a COMMIT until it was told. What is given waits for those who were at it before."""
        me = object()
        with self._changed:
            earlier = self._under_way.copy()
            self._under_way.add(me)

        def wait() -> None:
            with self._changed:
                self._changed.wait_for(lambda: earlier.isdisjoint(self._under_way))

        try:
            yield wait
        finally:
            with self._changed:
                self._under_way.discard(me)
                self._changed.notify_all()
