"""The consumer beside a real server: what did not come by RabbitMQ is read from the job's history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace import Client, JobHandle
from headrace.info import EventKind, JobEvent
from support.broadcasts import message
from support.listening import Listening, exchange
from support.server import Server, until

pytestmark = pytest.mark.slow

BROADCAST = (EventKind.CREATED, EventKind.STATUS_CHANGED)


@pytest.fixture
def server(tmp_path: Path, rabbitmq: str) -> Iterator[Server]:
    """A server that broadcasts."""
    with Server(tmp_path, amqp_url=rabbitmq, workers=1) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of it."""
    with server.client() as connected:
        yield connected


def history(job: JobHandle) -> list[JobEvent]:
    """What a watch shows of the kinds that are broadcast."""
    return [
        event
        for event in job.watch(after_revision=0, include_messages=True)
        if isinstance(event, JobEvent) and event.kind in BROADCAST
    ]


def test_a_consumer_shows_what_a_watch_shows(rabbitmq: str, client: Client) -> None:
    """Every change of status and the creation, with the same revisions and details (acceptance 76,
    77).
    """
    with Listening(rabbitmq, client=client) as listening, exchange(rabbitmq) as made:
        made.publish(message("declared", 1))
        listening.waits_for(1)
        job = client.submit("test.fail", {"text": "no"})
        job.wait(30)
        until(lambda: listening.shown[-1].final, "the last event has come")
        assert listening.shown[1:] == history(job)


def test_a_gap_is_filled_from_the_history(
    rabbitmq: str, client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages that were lost are shown before the next one of their job: those that would have
    come, each once.
    """
    caplog.set_level("INFO", "headrace.events")
    positions: dict[str, int] = {}
    started, gate = tmp_path / "started", tmp_path / "gate"
    with exchange(rabbitmq) as made:
        with Listening(rabbitmq, client=client, positions=positions) as first:
            made.publish(message("declared", 1))
            first.waits_for(1)
            job = client.submit("test.hold", {"started": str(started), "gate": str(gate)}, hold=True)
            assert first.waits_for(2)[1] == (job.job_id, 1)
        job.update(description="an event that is not broadcast")
        job.release()
        until(lambda: made.waiting() == 3, "QUEUED, TO_BE_RUN and RUNNING wait in the queue")
        made.purge()
        with Listening(rabbitmq, client=client, positions=positions) as second:
            gate.touch()
            until(lambda: second.shown and second.shown[-1].final, "the job has ended")
        expected = history(job)
        assert [event.status for event in expected] == [
            "PENDING",
            "QUEUED",
            "TO_BE_RUN",
            "RUNNING",
            "SUCCEEDED",
        ]
        assert [first.shown[1], *second.shown] == expected
        assert made.waiting() == 0
    assert f"Job {job.job_id}: 3 events that did not come were read from its history" in caplog.text


def test_a_filled_gap_keeps_to_what_was_asked_for(rabbitmq: str, client: Client, tmp_path: Path) -> None:
    """From a mapping of one's own the consumer knows that it has seen nothing of a job: it reads
    from the beginning.
    """
    started, gate = tmp_path / "started", tmp_path / "gate"
    with exchange(rabbitmq) as made:
        with Listening(rabbitmq) as first:
            made.publish(message("declared", 1))
            first.waits_for(1)
        job = client.submit("test.hold", {"started": str(started), "gate": str(gate)})
        until(lambda: made.waiting() == 3, "it runs, and its messages wait in the queue")
        made.purge()
        options = {"positions": {}, "statuses": ["RUNNING", "SUCCEEDED"]}
        with Listening(rabbitmq, client=client, **options) as second:
            gate.touch()
            until(lambda: second.shown and second.shown[-1].final, "the job has ended")
        assert [event.status for event in second.shown] == ["RUNNING", "SUCCEEDED"]
        assert second.shown == history(job)[2:]


def test_without_a_client_a_gap_is_told(rabbitmq: str, caplog: pytest.LogCaptureFixture) -> None:
    """What came is shown, and a warning says what did not."""
    with exchange(rabbitmq) as made, Listening(rabbitmq) as listening:
        made.publish(message("a", 5), message("a", 9, 7))
        assert listening.waits_for(2) == [("a", 5), ("a", 9)]
    assert "Job a: events after revision 5, up to 7, did not come" in caplog.text


def test_a_gap_waits_for_its_server(rabbitmq: str, server: Server, client: Client) -> None:
    """While the server cannot say what is missing its job waits, and others go on; nothing is
    skipped.
    """
    with exchange(rabbitmq) as made:
        with Listening(rabbitmq, client=client, positions={"other": 1}) as listening:
            made.publish(message("other", 2))
            listening.waits_for(1)
            job = client.submit("test.noop")
            job.wait(30)
            until(lambda: listening.shown[-1].final, "all have come")
        expected = history(job)
        server.stop()
        last = expected[-1]
        again = Listening(rabbitmq, client=client, positions={"other": 2})
        with again:
            made.publish(
                message(job.job_id, last.revision, last.revision - 1, status="SUCCEEDED"),
                message("other", 3),
            )
            again.waits_for(1)
            server.start()
            again.waits_for(1 + len(expected))
        assert again.shown[0].job_id == "other"
        assert [event.revision for event in again.shown[1:]] == [event.revision for event in expected]


def test_the_gap_of_a_deleted_job_stays(
    rabbitmq: str, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Its history is gone: a warning says so, and the event itself is shown."""
    with exchange(rabbitmq) as made, Listening(rabbitmq, client=client, positions={}) as listening:
        made.publish(message("deleted", 7))
        assert listening.waits_for(1) == [("deleted", 7)]
    assert "A gap stays" in caplog.text
