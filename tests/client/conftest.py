"""Fixtures: a scripted server, and both clients behind one face, so that each test proves both."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from client.scripted import Connect, ScriptedServer

from headrace import AsyncClient, Client
from headrace.handle import AsyncJobHandle


class Blocking:
    """An AsyncClient or one of its handles, used as if it blocked: a loop runs it on a thread of
    its own.
    """

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __repr__(self) -> str:
        return repr(self._inner)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._called(found) if inspect.ismethod(found) else found

    def _called(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            if inspect.isasyncgen(result):
                return self._drawn(result)
            if inspect.iscoroutine(result):
                result = self._run(result)
            return Blocking(result, self._loop) if isinstance(result, AsyncJobHandle) else result

        return call

    def _drawn(self, items: Any) -> Iterator[Any]:
        end = object()

        async def following() -> Any:
            return await anext(items, end)

        try:
            while (item := self._run(following())) is not end:
                yield item
        finally:
            self._run(items.aclose())

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A scripted server on a free port."""
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients: of both kinds, in a test each. They are closed behind the test."""
    clients: list[Any] = []

    def connect(target: str, **options: Any) -> Any:
        if request.param == "blocking":
            client: Any = Client(target, **options)
        else:
            client = Blocking(AsyncClient(target, **options), request.getfixturevalue("loop"))
        clients.append(client)
        return client

    if request.param == "asyncio":
        request.getfixturevalue("loop")  # so that it outlives the clients
    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Connect, server: ScriptedServer) -> Any:
    """A client of the scripted server."""
    return connect(server.target, tenant="acme")
