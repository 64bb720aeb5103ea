"""Status events on a real RabbitMQ: what is sent, and how it can be set."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pika
import pytest
from events.conftest import EXCHANGE, Bench
from google.protobuf.json_format import MessageToDict

from headrace.events import decode
from headrace.info import Payload
from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from support.server import Server, until

pytestmark = pytest.mark.slow


def test_the_life_of_a_job(bench: Bench, server: Server) -> None:
    """Created and every change of status are broadcast, with revision, tenant, type and the final
    flag (acceptance 76, 77).
    """
    queue = bench.queue("all", "job.#")
    with server, server.client(tenant="a.b") as client:
        job = client.submit("test.echo", {"data": "secret"})
        job.result(30)
        events = [event for event in client.events(job.job_id) if event.kind in ("CREATED", "STATUS_CHANGED")]
        got = bench.take(queue, len(events))
    assert [one.key for one in got] == [f"job.{event.status}.a%2Eb.test%2Eecho" for event in events]
    assert [one.headers["ce-revision"] for one in got] == [event.revision for event in events]
    assert [one.headers["ce-previousrevision"] for one in got] == [
        0,
        *(event.revision for event in events[:-1]),
    ]
    assert [one.headers["ce-final"] for one in got] == [*(False for _ in events[:-1]), True]
    last = got[-1]
    assert last.properties.message_id == last.headers["ce-id"] == f"{job.job_id}/{events[-1].revision}"
    assert last.properties.delivery_mode == pika.DeliveryMode.Persistent.value
    said = json.loads(last.body)
    assert said["status"] == "JOB_STATUS_SUCCEEDED"
    assert said["statusChanged"] == {"from": "JOB_STATUS_RUNNING", "to": "JOB_STATUS_SUCCEEDED"}
    assert not [one for one in got if b"secret" in one.body]


def test_kinds_format_and_source_are_settings(bench: Bench, server: Server) -> None:
    """Other kinds, protobuf bodies and another source, as the settings say."""
    queue = bench.queue("all", "job.#")
    server.settings |= {
        "events_kinds": "message_logged,updated",
        "events_format": "protobuf",
        "events_source": "/x",
    }
    with server, server.client() as client:
        job = client.submit("test.output")
        job.wait(30)
        client.update(job.job_id, description="new")
        logged = [e for e in client.events(job.job_id) if e.kind in ("MESSAGE_LOGGED", "UPDATED")]
        got = bench.take(queue, len(logged))
    assert {one.properties.content_type for one in got} == {"application/protobuf"}
    assert {one.headers["ce-source"] for one in got} == {"/x"}
    events = [job_pb2.JobEvent.FromString(one.body) for one in got]
    assert [event.revision for event in events] == [event.revision for event in logged]
    assert MessageToDict(events[-1].updated) == {"paths": ["description"]}


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_parameters_and_results_where_a_setting_has_them_in(bench: Bench, server: Server, form: str) -> None:
    """With events_payload_kib the creation carries the parameters and the end the results, up to
    that size; a watch never does.
    """
    queue = bench.queue("all", "job.#")
    server.settings |= {"events_payload_kib": "1", "events_format": form}
    with server, server.client() as client:
        given = {"n": 1, "at": datetime(2026, 1, 2, tzinfo=UTC), "raw": b"\0", "deep": {"é": [None, 1.5]}}
        jobs = [
            client.submit("test.echo", given),
            client.submit("test.report", {"total": 3}),
            client.submit("test.echo", {"data": "x" * 2000}),
            client.submit("test.noop"),
        ]
        ends = [job.wait(30) for job in jobs]
        told: dict[str, list[Payload | None]] = {end.job_id: [] for end in ends}
        for one in bench.take(queue, 4 * len(jobs)):
            event = decode(one.headers, one.body, one.properties.content_type).event
            told[event.job_id].append(event.payload)
        watched = {event.payload for event in client.events(jobs[0].job_id)}
    none = Payload(parameters={}, result=None, results={})
    assert list(told.values()) == [
        [replace(none, parameters=given), None, None, replace(none, result=given)],
        [
            replace(none, parameters={"total": 3, "gate": ""}),
            None,
            None,
            replace(none, result=ends[1].result, results={"rows": 3}),
        ],
        [None] * 4,
        [none, None, None, none],
    ]
    assert watched == {None}


def test_the_trace_of_a_job(bench: Bench, server: Server) -> None:
    """The traceparent of the submitting call is with the job, its code, and each of its events; one
    that is not valid is none.
    """
    queue = bench.queue("all", "job.#")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with server, server.client() as client, grpc.insecure_channel(server.target) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        spec = job_pb2.JobSpec(type="test.trace")
        for sent, kept in ((trace, trace), ("00-0-0-00", "")):
            run = jobs.RunJob(job_service_pb2.RunJobRequest(spec=spec), metadata=[("traceparent", sent)])
            job_id = [answer.update for answer in run][-1].finished.job_id
            ended = client.get(job_id)
            assert (ended.traceparent, ended.result) == (kept, kept)
            events = bench.take(queue, 4)
            assert [one.headers.get("ce-traceparent", "") for one in events] == [kept] * 4


def test_progress_on_demand(bench: Bench, server: Server) -> None:
    """Progress is broadcast where a setting says how often, under keys of its own and without a
    revision (acceptance 76).
    """
    events, progress = bench.queue("events", "job.#"), bench.queue("progress", "progress.#")
    server.settings["events_progress_interval"] = 0.001
    with server, server.client() as client:
        client.submit("test.report", {"total": 200}).wait(30)
        (got,) = bench.take(progress, 1)
        assert got.key == "progress.default.test%2Ereport"
        assert got.headers["ce-type"] == "headrace.job.progress.v1"
        assert json.loads(got.body)["total"] == "200"
        assert "ce-revision" not in got.headers
        assert len(bench.take(events, 4)) == 4


def test_an_exchange_that_is_there_is_used_as_it_is(bench: Bench, server: Server) -> None:
    """An exchange that an operator has declared otherwise, with an alternate for what no queue
    wants, is not fought over.
    """
    bench.channel.exchange_declare("unwanted", "fanout", durable=True)
    bench.channel.exchange_declare(
        EXCHANGE, "topic", durable=True, arguments={"alternate-exchange": "unwanted"}
    )
    bench.channel.queue_declare("unwanted", durable=True)
    bench.channel.queue_bind("unwanted", "unwanted")
    with server, server.client() as client:
        client.submit("test.noop", hold=True)
        (got,) = bench.take("unwanted", 1)
        assert got.headers["ce-type"] == "headrace.job.created.v1"


def test_what_no_queue_wants_is_kept_and_counted(bench: Bench, server: Server, folder: Path) -> None:
    """Unroutable events wait, are counted and logged, and hold up no other job's; a queue gets them
    in order (failure case 15).
    """
    queue = bench.queue("wanted", "job.*.wanted.#")
    with server:
        with server.client(tenant="unwanted") as client:
            ignored = client.submit("test.noop", hold=True)
            counters = lambda: client.server_info().counters  # noqa: E731 - read again and again
            until(lambda: counters()["events_unroutable_total"] == 1, "it was given back")
            with server.client(tenant="wanted") as other:
                other.submit("test.noop").wait(30)
            assert [one.headers["ce-tenant"] for one in bench.take(queue, 4)] == ["wanted"] * 4
            ignored.stop()
            until(lambda: counters()["events_unroutable"] == 2, "both its events are kept")
            assert counters()["events_pending"] == 0
            until(
                lambda: server.logged("no queue wants 2 events: they are kept"), "the log says so", limit=90
            )
            late = bench.queue("late", "job.*.unwanted.#")
        got = bench.take(late, 2)
        assert [one.headers["ce-revision"] for one in got] == [1, got[1].headers["ce-revision"]]
        assert got[1].headers["ce-status"] == "ABORTED"
    assert folder.exists()


def test_what_no_queue_wants_may_be_dropped(bench: Bench, server: Server) -> None:
    """With events_unroutable=drop a queue that is bound to one status gets its events, and nothing
    waits.
    """
    queue = bench.queue("ends", "job.SUCCEEDED.#")
    server.settings["events_unroutable"] = "drop"
    with server, server.client(tenant="ü" * 100) as client:
        client.submit("test.noop").wait(30)
        (got,) = bench.take(queue, 1)
        assert got.key == f"job.SUCCEEDED.{'%C3%BC' * 16}%C3~.test%2Enoop"
        assert got.headers["ce-tenant"] == "ü" * 100
        until(lambda: client.server_info().counters["events_unroutable_total"] >= 3, "the others were let go")
        waits = ("events_pending", "events_unroutable")
        until(lambda: not any(client.server_info().counters[name] for name in waits), "nothing waits")


def test_without_a_broker_jobs_run(folder: Path, rabbitmq: str, bench: Bench) -> None:
    """Where no broker answers, jobs are taken and run, their events wait, and the next start brings
    them (failure case 12).
    """
    queue = bench.queue("all", "job.#")
    server = Server(folder, amqp_url="amqp://guest:hidden@127.0.0.1:1/")
    try:
        server.start()
        with server.client() as client:
            assert client.submit("test.noop").wait(30).status == "SUCCEEDED"
            until(lambda: client.server_info().counters["events_pending"] >= 3, "they wait")
            assert client.server_info().counters["events_connected"] == 0
            assert client.server_info().settings["amqp_url"] == "amqp://guest:***@127.0.0.1:1/"
        until(lambda: server.logged("no broker at 127.0.0.1:1"), "the log says so")
        server.stop()
        server.settings["amqp_url"] = rabbitmq
        server.start()
        assert bench.take(queue, 3)[-1].headers["ce-revision"] >= 3
    finally:
        server.close()
