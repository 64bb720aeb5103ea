# Made by `make sync` from ../aio/base.py: change that.
"""The way from a client's methods to the server.

One interface stands for both ways to make calls; lists are read page by page.
"""

from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

from headrace._flows.wait import Wait
from headrace._flows.watch import Watch
from headrace._requests.requests import Call
from headrace._transport.channel import Connection
from headrace.info import JobInfo, Page, PurgeCounts, StopCounts, Update

T = TypeVar("T")
Total = TypeVar("Total", int, StopCounts, PurgeCounts)


class Transport(Protocol):
    """One channel to one server.

    Each kind of client has its own, written by hand. Failures are HeadraceErrors.
    """

    connection: Connection

    def make(self, call: Call[T], timeout: float | None = None) -> T:
        """Makes a unary call and reads its answer.

        timeout is in seconds; the connection's own when left out.
        """
        ...

    def wait(self, wait: Wait) -> JobInfo:
        """Waits for the end of a job."""
        ...

    def follow(self, watch: Watch) -> Generator[Update, None]:
        """Yields the updates of a watch."""
        ...

    def close(self) -> None:
        """Ends all calls and watches, and the channel."""
        ...


class Methods:
    """The transport and the tenant of a client."""

    def __init__(self, calls: Transport, tenant: str) -> None:
        self._calls = calls
        self._own_tenant = tenant

    def _tenant(self, tenant: str | None) -> str:
        return self._own_tenant if tenant is None else tenant

    def _pages(self, page_at: Callable[[str], Call[Page[T]]]) -> Generator[T, None]:
        """The items of a list. page_at gives the call for the page of a token; "" is the first."""
        token = ""
        while True:
            page = self._calls.make(page_at(token))
            for item in page.items:
                yield item
            token = page.next_page_token
            if not token:
                return

    def _total(self, total: Total, part_at: Callable[[str], Call[tuple[Total, str]]]) -> Total:
        """Adds up the counts of all parts of a change.

        part_at gives the call for the part of a token; "" is the first.
        """
        token = ""
        while True:
            count, token = self._calls.make(part_at(token))
            total += count
            if not token:
                return total
