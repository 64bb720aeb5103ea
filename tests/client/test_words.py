"""One word for one thing: what the contract, the Python client, the mark of a job and the command
call it.
"""

import inspect
import re
from dataclasses import fields

import pytest
from google.protobuf.message import Message

from headrace import info, options
from headrace.client import Client
from headrace.jobs import Job, RetryPolicy, job
from headrace.v1 import admin_service_pb2, job_pb2, job_service_pb2

RPCS = [
    method.name
    for module in (job_service_pb2, admin_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def words(message: type[Message]) -> set[str]:
    """The fields of a message."""
    return set(message.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (info.JobSpec, job_pb2.JobSpec),
        (info.JobInfo, job_pb2.JobInfo),
        (info.JobError, job_pb2.JobError),
        (info.Attempt, job_pb2.Attempt),
        (info.StopInfo, job_pb2.JobStop),
        (info.Progress, job_pb2.JobProgress),
        (info.JobType, job_pb2.JobType),
        (info.LoggedMessage, job_pb2.JobMessageLogged),
        (info.Gate, admin_service_pb2.Gate),
        (info.Traffic, admin_service_pb2.Traffic),
        (info.Instance, admin_service_pb2.Instance),
        (info.ServerInfo, admin_service_pb2.GetServerInfoResponse),
        (RetryPolicy, job_pb2.RetryPolicy),
    ],
)
def test_a_record_has_the_fields_of_its_message(record: type, message: type[Message]) -> None:
    """Same names, none more, none less."""
    assert {field.name for field in fields(record)} == words(message)


@pytest.mark.parametrize(
    ("group", "message", "besides"),
    [
        (options.JobOptions, job_pb2.JobSpec, {"tenant", "request_id"}),  # fields of the request
        (options.JobFilters, job_pb2.JobFilter, {"parameter_prefix"}),  # in one field, a condition
        (options.JobChanges, job_service_pb2.JobPatch, set()),
        (options.GateChanges, admin_service_pb2.Gate, set()),
    ],
)
def test_an_option_is_called_what_its_field_is(
    group: type, message: type[Message], besides: set[str]
) -> None:
    """The keyword arguments of the clients are the words of the messages that they fill."""
    assert set(group.__annotations__) - words(message) == besides


def test_a_job_says_of_itself_what_its_type_is_said_to_have() -> None:
    """The arguments of @job and the attributes of Job are fields of JobType."""
    assert set(inspect.signature(job).parameters) <= words(job_pb2.JobType)
    assert set(Job.__annotations__) - {"run"} == set(inspect.signature(job).parameters)


def test_the_limit_of_an_attempt_is_never_called_timeout() -> None:
    """As an argument that is the deadline of a call; attempt_timeout is the job's."""
    assert "attempt_timeout" in words(job_pb2.JobSpec) & words(job_pb2.JobType)
    assert "timeout" not in words(job_pb2.JobSpec) | words(job_pb2.JobType)
    for verb in (Client.submit, Client.run, Client.wait, Client.watch):
        assert "timeout" in inspect.signature(verb).parameters


@pytest.mark.parametrize("rpc", RPCS)
def test_a_method_is_called_what_its_rpc_is(rpc: str) -> None:
    """Client.release for ReleaseJob, Client.stop_jobs for StopJobs; what reads is called by what it
    answers.
    """
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
    short = re.sub(r"_jobs?$", "", name)
    read = re.sub(r"^(list|get)_(job_)?", "", name)
    assert {name, short, read} & {method for method in dir(Client) if not method.startswith("_")}
