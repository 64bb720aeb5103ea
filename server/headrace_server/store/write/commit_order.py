"""The order in which the commits of two writers of one store are reported.

They are reported in the order in which they were committed.

A job's row is locked until COMMIT, so its changes have an order; but between a COMMIT and the
telling of it a thread may be overtaken. So each says when it is about to commit, and tells only
when all who had said so before have told.

Who reads what is committed, and compares it with what was told, looks between commits: when each
that was carried out was told too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition


class CommitOrder:
    """Shared by the writers of a store."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._under_way: set[object] = set()
        self._looks = 0

    @contextmanager
    def commit(self) -> Iterator[Callable[[], None]]:
        """Enclose the time from just before a COMMIT until it was reported.

        The function that it yields waits for the commits that were under way before.
        """
        me = object()
        with self._changed:
            self._changed.wait_for(lambda: not self._looks)
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

    @contextmanager
    def between(self, seconds: float) -> Iterator[None]:
        """No commit is under way, and none begins: so it is to be short.

        Raises TimeoutError when one is under way for so long: others are not to wait for what it
        waits for.
        """
        with self._changed:
            self._looks += 1
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: not self._under_way, seconds):
                    raise TimeoutError
            yield
        finally:
            with self._changed:
                self._looks -= 1
                self._changed.notify_all()
