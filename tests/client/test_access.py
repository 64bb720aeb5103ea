"""The door by which tokens and tracing come into both clients: a secure channel, metadata,
interceptors.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from client.scripted import Failure, ScriptedServer, job

from headrace import AsyncClient, Client
from headrace._transport.access import Access
from headrace._transport.channel import Connection
from headrace.v1 import job_pb2
from headrace.v1 import job_service_pb2 as pb

AWAY = Failure(grpc.StatusCode.UNAVAILABLE)
ENDED = [job_pb2.JobUpdate(snapshot=job()), job_pb2.JobUpdate(finished=job("SUCCEEDED", revision=4))]


@pytest.fixture
def secure() -> Iterator[ScriptedServer]:
    """A server that refuses channels which are not secured.

    Its first GetJob fails as if it were away.
    """
    server = ScriptedServer(credentials=grpc.local_server_credentials())
    server.on("GetJob", AWAY, pb.GetJobResponse(job=job()))
    server.on("WatchJob", ENDED)
    yield server
    server.close()


def connection(server: ScriptedServer, *interceptors: Any) -> Connection:
    """One with credentials, a token that is another each time, and interceptors."""
    number = itertools.count(1)
    access = Access(
        grpc.local_channel_credentials(),
        lambda: (("authorization", f"token {next(number)}"),),
        interceptors,
    )
    return Connection.of(
        server.target,
        access=access,
        timeout=30,
        wait_for_ready=False,
        reconnect_timeout=30,
        max_message_bytes=1 << 20,
    )


class Seen(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Notes each call and the token that it carries."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def _pass(self, go_on: Callable[..., Any], details: Any, request: Any) -> Any:
        self.calls.append((details.method.rpartition("/")[2], dict(tuple(details.metadata))["authorization"]))
        return go_on(details, request)

    intercept_unary_unary = intercept_unary_stream = _pass


class AsyncSeen:
    """As Seen, for asyncio."""

    def __init__(self, calls: list[tuple[str, str]]) -> None:
        self.calls = calls

    async def _pass(self, go_on: Callable[..., Any], details: Any, request: Any) -> Any:
        method = details.method if isinstance(details.method, str) else details.method.decode()
        self.calls.append((method.rpartition("/")[2], dict(tuple(details.metadata))["authorization"]))
        return await go_on(details, request)


class AsyncUnarySeen(AsyncSeen, grpc.aio.UnaryUnaryClientInterceptor):
    """Of calls with one answer."""

    intercept_unary_unary = AsyncSeen._pass


class AsyncStreamSeen(AsyncSeen, grpc.aio.UnaryStreamClientInterceptor):
    """Of streams."""

    intercept_unary_stream = AsyncSeen._pass


CALLS = [("GetJob", "token 1"), ("GetJob", "token 2"), ("WatchJob", "token 3")]
"""A call that is repeated, and a stream: the token is asked for before each."""


def test_each_call_of_a_client_carries_what_its_access_gives(secure: ScriptedServer) -> None:
    """An interceptor sees each attempt and each stream, with new metadata, and the server gets it,
    on a secure channel.
    """
    seen = Seen()
    with Client._over(connection(secure, seen)) as client:
        assert client.get("j1").job_id == "j1"
        assert [type(update).__name__ for update in client.watch("j1")] == ["Snapshot", "Finished"]
    assert seen.calls == CALLS
    assert secure.metadata["authorization"] == "token 3"


async def test_each_call_of_an_async_client_carries_what_its_access_gives(secure: ScriptedServer) -> None:
    """As of a client that blocks."""
    calls: list[tuple[str, str]] = []
    both = AsyncUnarySeen(calls), AsyncStreamSeen(calls)
    async with AsyncClient._over(connection(secure, *both)) as client:
        assert (await client.get("j1")).job_id == "j1"
        assert [type(update).__name__ async for update in client.watch("j1")] == ["Snapshot", "Finished"]
    assert calls == CALLS
    assert secure.metadata["authorization"] == "token 3"
