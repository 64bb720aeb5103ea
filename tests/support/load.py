"""Callers of several servers, who go on whatever happens to one of them."""

import itertools
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

from headrace import Client
from headrace.info import Finished
from support.server import Server, until


def target_of(servers: Sequence[Server]) -> str:
    """One target for all of them."""
    return f"ipv4:{','.join(server.target for server in servers)}"


class Load:
    """Threads that submit jobs and wait for them or watch them, one client each, until the block
    ends.

    Nothing that a client raises is caught: what its users would see ends the load, and the test.
    """

    def __init__(self, target: str, *, threads: int = 4, parameters: dict[str, Any]) -> None:
        """parameters: of test.record, whose tag says which job of the load it is."""
        self.ended: dict[str, str] = {}
        """tag -> status."""
        self.submitted: list[str] = []
        self.errors: list[BaseException] = []
        self._target = target
        self._parameters = parameters
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=partial(self._run, number, self._wait if number % 2 else self._watch))
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self, more: int = 20) -> None:
        """Wait until so many more jobs have been submitted and have ended."""
        wanted = len(self.ended) + more
        until(lambda: self.errors or len(self.ended) >= wanted, f"{more} more jobs end", 60)
        assert not self.errors, self.errors

    def _run(self, number: int, follow: Callable[[Client, str], str]) -> None:
        try:
            with Client(self._target) as client:
                for count in itertools.count():
                    if self._over.is_set():
                        return
                    tag = f"{number}-{count}"
                    self.submitted.append(tag)
                    self.ended[tag] = follow(client, tag)
        except BaseException as error:  # noqa: BLE001 - raised by the test
            self.errors.append(error)

    def _submit(self, client: Client, tag: str) -> Any:
        return client.submit("test.record", {**self._parameters, "tag": tag}, request_id=tag)

    def _wait(self, client: Client, tag: str) -> str:
        return str(self._submit(client, tag).wait(60).status)

    def _watch(self, client: Client, tag: str) -> str:
        (last,) = [one for one in self._submit(client, tag).watch() if isinstance(one, Finished)]
        return str(last.job.status)
