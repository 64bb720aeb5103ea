"""StopJob by message: the same effect, validation and authorship as the call."""

import json
from pathlib import Path

import pika
import pytest
from events.conftest import Bench, Got

from support.server import Server, until

pytestmark = pytest.mark.slow

QUEUE = "headrace.commands"
STOP = "headrace.StopJob.v1"


@pytest.fixture
def server(server: Server) -> Server:
    """A server that takes commands: it has declared their queue."""
    server.settings["command_queue"] = QUEUE
    server.start()
    until(lambda: server.logged("commands are taken"), "it takes commands")
    return server


def ask(bench: Bench, body: bytes, kind: str = STOP, content_type: str = "application/json") -> Got:
    """Send a command, and take its answer."""
    answers = bench.channel.queue_declare("", exclusive=True).method.queue
    properties = pika.BasicProperties(
        type=kind, content_type=content_type, reply_to=answers, correlation_id="mine"
    )
    bench.channel.basic_publish("", QUEUE, body, properties)
    (answer,) = bench.take(answers, 1)
    assert answer.properties.correlation_id == "mine"
    return answer


def test_a_job_is_stopped(bench: Bench, server: Server, tmp_path: Path) -> None:
    """A StopJob command stops a running job, waits for its end and answers as the call does
    (acceptance 42).
    """
    note = tmp_path / "note"
    with server.client() as client:
        job = client.submit("test.obedient", {"started": str(note)})
        until(note.exists, "the job runs")
        wish = {"jobId": job.job_id, "reason": "enough", "requestedBy": "ada", "waitTimeout": "30s"}
        answer = ask(bench, json.dumps(wish).encode())
        assert answer.properties.type == "headrace.StopJobResponse.v1"
        said = json.loads(answer.body)
        assert (said["outcome"], said["job"]["status"]) == ("STOP_OUTCOME_STOPPED", "JOB_STATUS_ABORTED")
        stop = job.refresh().stop
        assert stop is not None
        assert (stop.reason, stop.requested_by, stop.confirmed) == ("enough", "ada", True)
        again = json.loads(ask(bench, json.dumps(wish).encode()).body)
        assert again["outcome"] == "STOP_OUTCOME_ALREADY_FINISHED"


def test_what_is_no_command_is_set_aside(bench: Bench, server: Server) -> None:
    """Invalid commands are answered as the call would be, and go to the queue's dead letters; an
    unknown job is no invalid command.
    """
    server.stop()
    bench.channel.queue_delete(QUEUE)
    bench.channel.queue_declare("dead", durable=True)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    bench.channel.queue_declare(QUEUE, durable=True, arguments=dead)
    server.start()
    for body, kind, reason in (
        (b"{}", "headrace.SubmitJob.v1", "is no command"),
        (b"not json", STOP, "It is no headrace.v1.StopJobRequest"),
        (b'{"jobId": ""}', STOP, "job_id"),
        (b'{"jobId": "x", "gracePeriod": "-1s"}', STOP, "grace_period"),
    ):
        answer = ask(bench, body, kind)
        assert answer.properties.type == "google.rpc.Status"
        said = json.loads(answer.body)
        assert said["code"] == 3, said
        assert reason in answer.body.decode(), said
        (kept,) = bench.take("dead", 1)
        assert kept.body == body
    said = json.loads(ask(bench, b'{"jobId": "nobody"}').body)
    assert said["code"] == 5
    assert said["details"][0]["reason"] == "JOB_NOT_FOUND"
    assert bench.channel.queue_declare("dead", durable=True, passive=True).method.message_count == 0


def test_a_command_waits_for_a_server(bench: Bench, server: Server) -> None:
    """A command that comes while no server runs is carried out by the next; without an address to
    answer to it is just done.
    """
    with server.client() as client:
        job = client.submit("test.noop", hold=True)
    server.stop()
    properties = pika.BasicProperties(type=STOP, delivery_mode=pika.DeliveryMode.Persistent)
    bench.channel.basic_publish("", QUEUE, json.dumps({"jobId": job.job_id}).encode(), properties)
    server.start()
    with server.client() as client:
        until(lambda: client.get(job.job_id).status == "ABORTED", "it was stopped")
