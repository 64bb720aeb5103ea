"""Watches over real streams that break in each way that streams break."""

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import pytest
from client.scripted import (
    Connect,
    Failure,
    Hang,
    ScriptedServer,
    event,
    finished,
    heartbeat,
    job,
    progress,
    snapshot,
)

from headrace import Client, errors, info
from headrace.v1 import job_service_pb2 as pb

CODE = grpc.StatusCode
BREAKS = {
    "unavailable": Failure(CODE.UNAVAILABLE),
    "draining": Failure(CODE.UNAVAILABLE, "DRAINING", retry_after=0.01),
    "too many watchers": Failure(CODE.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHERS", retry_after=0.01),
    "reset": Failure(CODE.INTERNAL, text="Received RST_STREAM with error code 2"),
    "removed": Failure(CODE.UNKNOWN, text="Stream removed"),
    "cancelled": Failure(CODE.CANCELLED, text="CANCELLED"),
    "ended early": None,
}


def shown(updates: Iterable[info.Update]) -> list[str]:
    """What a caller sees, in short."""
    short = {info.Snapshot: "snapshot", info.Finished: "finished"}
    return [
        f"event {update.revision}"
        if isinstance(update, info.JobEvent)
        else f"progress {update.done}"
        if isinstance(update, info.Progress)
        else short[type(update)]
        for update in updates
    ]


def test_a_watch_shows_snapshot_events_progress_and_end(client: Client, server: ScriptedServer) -> None:
    """Heartbeats are swallowed, and `finished` ends it."""
    server.on("WatchJob", [snapshot(), event(4), progress(7), heartbeat(4), event(5), finished(), Hang()])
    updates = list(client.watch("j1", include_messages=True, min_progress_interval=0.5))
    assert shown(updates) == ["snapshot", "event 4", "progress 7", "event 5", "finished"]
    assert updates[-1].job.status == "SUCCEEDED"
    request = server.requests["WatchJob"][0]
    assert (request.tenant, request.job_id, request.include_messages) == ("acme", "j1", True)
    assert request.min_progress_interval.ToMilliseconds() == 500


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_stream_is_resumed_without_a_repetition_or_a_gap(
    client: Client, server: ScriptedServer, kind: str
) -> None:
    """After each kind of break the next stream begins after the last event that was shown."""
    cut = [BREAKS[kind]] if BREAKS[kind] else []
    server.on(
        "WatchJob",
        [snapshot(revision=3), event(4), event(5), *cut],
        cut,
        [event(5), event(6), *cut],
        [event(7), finished()],
    )
    updates = shown(client.watch("j1"))
    assert updates == ["snapshot", "event 4", "event 5", "event 6", "event 7", "finished"]
    resumed = [request.after_revision for request in server.requests["WatchJob"][1:]]
    assert resumed == [5, 5, 6]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(CODE.NOT_FOUND, "JOB_NOT_FOUND"), errors.JobNotFound),
        (Failure(CODE.OUT_OF_RANGE, "REVISION_AHEAD"), errors.OutOfRange),
        (Failure(CODE.INTERNAL, "INTERNAL", metadata={"error_id": "e7"}), errors.InternalError),
        (Failure(CODE.RESOURCE_EXHAUSTED), errors.Overloaded),
    ],
)
def test_any_other_status_is_final(
    client: Client, server: ScriptedServer, failure: Failure, kind: type[errors.HeadraceError]
) -> None:
    """What a repetition does not help is raised at once."""
    server.on("WatchJob", [snapshot(), failure])
    with pytest.raises(kind):
        list(client.watch("j1"))
    assert len(server.requests["WatchJob"]) == 1


def test_a_watch_outlives_its_server(connect: Connect) -> None:
    """The server dies under the watch, another takes its address, and the watch goes on."""
    first = ScriptedServer()
    first.on("WatchJob", [snapshot(revision=3), event(4), Hang()])
    updates = connect(first.target).watch("j1")
    assert shown([next(updates), next(updates)]) == ["snapshot", "event 4"]
    first.close()
    second = ScriptedServer(first.port)
    second.on("WatchJob", [event(5), finished()])
    assert shown(updates) == ["event 5", "finished"]
    assert second.requests["WatchJob"][0].after_revision == 4
    second.close()


def test_a_watch_that_was_cut_before_its_first_message_goes_on(connect: Connect) -> None:
    """A server that dies before it has said anything was there: its restart is waited for."""
    first, opened = ScriptedServer(), threading.Event()

    def open_and_hang(_request: Any, _context: Any) -> list[Any]:
        opened.set()
        return [Hang()]

    first.on("WatchJob", open_and_hang)
    client, seen = connect(first.target), []
    thread = threading.Thread(target=lambda: seen.extend(shown(client.watch("j1"))))
    thread.start()
    assert opened.wait(10)
    first.close()
    second = ScriptedServer(first.port)
    second.on("WatchJob", [finished()])
    thread.join(30)
    second.close()
    assert seen == ["finished"]


@pytest.mark.slow
def test_a_server_that_was_never_there_is_told_of(connect: Connect, server: ScriptedServer) -> None:
    """A watch does not wait for ever for a first answer."""
    server.close()
    with pytest.raises(errors.Unavailable, match="is it running"):
        list(connect(server.target).watch("j1"))


def test_a_server_that_stays_away_is_told_of(connect: Connect, server: ScriptedServer) -> None:
    """A watch that has begun gives up after the client's reconnect_timeout."""
    server.on("WatchJob", [snapshot(), Failure(CODE.UNAVAILABLE)], [Failure(CODE.UNAVAILABLE)])
    with pytest.raises(errors.Unavailable):
        list(connect(server.target, reconnect_timeout=0.3).watch("j1"))


def test_a_watch_ends_with_its_timeout(client: Client, server: ScriptedServer) -> None:
    """A job that goes on beyond the timeout gives DeadlineExceeded."""
    server.on("WatchJob", [snapshot(), Hang()])
    with pytest.raises(errors.DeadlineExceeded):
        list(client.watch("j1", timeout=0.3))


def begun_until_gone(server: ScriptedServer) -> threading.Event:
    """Watches get a snapshot and no more; answers what tells that a caller has left one."""
    gone = threading.Event()

    def stream(_request: Any, context: grpc.ServicerContext) -> list[Any]:
        context.add_callback(gone.set)
        return [snapshot(), Hang()]

    server.on("WatchJob", stream)
    return gone


def test_leaving_a_watch_ends_its_stream(client: Client, server: ScriptedServer) -> None:
    """The server sees that the caller has gone, and nothing is opened anew."""
    gone = begun_until_gone(server)
    updates = client.watch("j1")
    next(updates)
    updates.close()
    assert gone.wait(10)
    assert len(server.requests["WatchJob"]) == 1


def test_closing_the_client_ends_its_watches(client: Client, server: ScriptedServer) -> None:
    """A watch under way on another thread ends with Cancelled."""
    begun, raised = threading.Event(), []
    server.on("WatchJob", [snapshot(), Hang()])

    def follow() -> None:
        try:
            for _ in client.watch("j1"):
                begun.set()
        except errors.HeadraceError as error:
            raised.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(10)
    client.close()
    thread.join(10)
    assert [type(error) for error in raised] == [errors.Cancelled]


def test_a_handle_follows_its_job(client: Client, server: ScriptedServer) -> None:
    """Its watch and wait ask for its job in its tenant."""
    server.on("WatchJob", [finished()])
    server.on("WaitJob", pb.WaitJobResponse(job=job("SUCCEEDED")))
    handle = client.handle("j7", tenant="other")
    assert shown(handle.watch(after_revision=2)) == ["finished"]
    assert handle.wait().status == "SUCCEEDED"
    watched, waited = server.requests["WatchJob"][0], server.requests["WaitJob"][0]
    assert (watched.tenant, watched.job_id, watched.after_revision) == ("other", "j7", 2)
    assert (waited.tenant, waited.job_id) == ("other", "j7")
    assert handle.info.status == "SUCCEEDED"


class Traced(grpc.UnaryStreamClientInterceptor):
    """As tracers do: metadata is added to the call, and a generator stands for its stream."""

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Iterator[Any]:
        """Add to the call, and pass on what it gives."""
        stream = continuation(client_call_details, request)

        def traced() -> Iterator[Any]:
            yield from stream

        return traced()


def test_a_tracer_may_stand_in_between(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches work, and their streams end when they are left, where an interceptor has put a
    generator in the stream's place.
    """
    plain = grpc.insecure_channel
    monkeypatch.setattr(
        grpc, "insecure_channel", lambda *a, **k: grpc.intercept_channel(plain(*a, **k), Traced())
    )
    server.on("WatchJob", [snapshot(), finished()])
    with Client(server.target) as client:
        assert shown(client.watch("j1")) == ["snapshot", "finished"]
        gone = begun_until_gone(server)
        left = client.watch("j1")
        assert shown([next(left)]) == ["snapshot"]
        left.close()
        assert gone.wait(10)
