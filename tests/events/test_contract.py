"""Real messages are those that docs/asyncapi.yaml describes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncapi
import pika
import pytest
import yaml
from events.conftest import Bench, Got
from google.protobuf.json_format import MessageToDict
from jsonschema import Draft7Validator

from headrace import RetryPolicy
from headrace.v1 import job_pb2
from headrace_server.domain.event import EventKind
from support.server import Server, until

DOCUMENT = yaml.safe_load(asyncapi.DOCUMENT.read_text())
ALL_KINDS = ",".join(EventKind.__members__)
COMMANDS = "headrace.commands"


def keep(part: Any, schema: str) -> None:
    """Fail unless it is valid by a schema of the document, and has no field that this does not
    name.
    """
    closed = {
        name: {"additionalProperties": False, **one}
        if one.get("properties") and "Headers" not in name
        else one
        for name, one in DOCUMENT["components"]["schemas"].items()
    }
    whole = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": closed}}
    errors = [f"{one.json_path}: {one.message}" for one in Draft7Validator(whole).iter_errors(part)]
    assert not errors, (errors, part)


def references(part: Any) -> Iterator[str]:
    """Every $ref in it."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from references(one)


def fits(got: Got, channel: str) -> bool:
    """Whether a routing key is an address of the channel."""
    address = re.escape(DOCUMENT["channels"][channel]["address"])
    return re.fullmatch(re.sub(r"\\{\w+\\}", "[A-Za-z0-9_%-]+", address), got.key) is not None


def test_the_schemas_are_those_of_the_contract() -> None:
    """The document's schemas of bodies are what `make asyncapi` makes of the .proto files."""
    assert asyncapi.document() == asyncapi.DOCUMENT.read_text(), "run `make asyncapi`"


def test_every_reference_leads_somewhere() -> None:
    """Each $ref of the document names a part of it."""
    for reference in references(DOCUMENT):
        part = DOCUMENT
        for word in reference.removeprefix("#/").split("/"):
            assert word in part, reference
            part = part[word]


def read(body: bytes, form: str) -> Any:
    """The body of an event by the protobuf JSON mapping, whichever form it has."""
    return json.loads(body) if form == "json" else MessageToDict(job_pb2.JobEvent.FromString(body))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_broadcasts_are_as_described(bench: Bench, server: Server, form: str) -> None:
    """Events of jobs of every outcome, in both forms, and progress, have the keys, headers and
    bodies of the document (acceptance 76, 77).
    """
    events, progress = bench.queue("events", "job.#"), bench.queue("progress", "progress.#")
    server.settings |= {
        "events_kinds": ALL_KINDS,
        "events_format": form,
        "events_progress_interval": 0.001,
    }
    with server, server.client(tenant="Zürich.a") as client:
        jobs = [
            client.submit("test.report", {"total": 200}),
            client.submit("test.fail"),
            client.submit("test.declare", {"how": "retry"}, retry_policy=RetryPolicy(max_attempts=1)),
            client.submit("test.die", {"how": "exit"}),
            client.submit("test.output"),
            client.submit("test.noop", hold=True),
        ]
        client.update(jobs[-1].job_id, description="new")
        jobs[-1].stop("enough")
        known = sum(len(list(client.events(job.wait(30).job_id))) for job in jobs)
        got = bench.take(events, known)
        told = bench.take(progress, 1)
    for one in got:
        assert fits(one, "events"), one.key
        keep(one.headers, "EventHeaders")
        assert one.properties.content_type == f"application/{form}"
        keep(read(one.body, form), "JobEvent")
    assert {one.headers["ce-type"].split(".")[2] for one in got} >= {
        "created", "status_changed", "message_logged", "result_set", "updated",
    }  # fmt: skip
    assert {one.headers["ce-status"] for one in got} >= {"SUCCEEDED", "FAILED", "ABORTED"}
    for one in told:
        assert fits(one, "progress"), one.key
        keep(one.headers, "ProgressHeaders")
        keep(json.loads(one.body), "JobProgress")


@pytest.mark.slow
def test_commands_and_answers_are_as_described(bench: Bench, server: Server, tmp_path: Path) -> None:
    """A StopJob command of the document is obeyed, and both kinds of answer are as it says
    (acceptance 42).
    """
    note = tmp_path / "note"
    server.settings["command_queue"] = COMMANDS
    with server, server.client() as client:
        job = client.submit("test.obedient", {"started": str(note)})
        until(note.exists, "the job runs")
        answers = bench.channel.queue_declare("", exclusive=True).method.queue
        for job_id, schema in ((job.job_id, "StopJobResponse"), ("nobody", "Status")):
            wish = {"jobId": job_id, "reason": "enough", "requestedBy": "ada", "waitTimeout": "30s"}
            keep(wish, "StopJobRequest")
            properties = pika.BasicProperties(type="headrace.StopJob.v1", reply_to=answers)
            bench.channel.basic_publish("", COMMANDS, json.dumps(wish).encode(), properties)
            (answer,) = bench.take(answers, 1)
            keep(json.loads(answer.body), schema)
            described = [
                one["bindings"]["amqp"]["messageType"]
                for one in DOCUMENT["components"]["messages"].values()
                if one["payload"]["$ref"].endswith(f"/{schema}")
            ]
            assert described == [answer.properties.type]
