"""From what a server answers to what is raised, and with which exit code."""

import pickle
import re
from typing import Any

import grpc
import pytest
from client.scripted import Connect, Failure, ScriptedServer, job

from headrace import Client, errors
from headrace._requests import convert
from headrace.v1 import job_service_pb2 as pb

CODE = grpc.StatusCode
TABLE = [
    ("JOB_NOT_FOUND", CODE.NOT_FOUND, errors.JobNotFound, 5),
    ("JOB_TYPE_UNKNOWN", CODE.INVALID_ARGUMENT, errors.UnknownType, 2),
    ("INVALID_PARAMETER", CODE.INVALID_ARGUMENT, errors.InvalidParameter, 2),
    ("INVALID_PAGE_TOKEN", CODE.INVALID_ARGUMENT, errors.InvalidPageToken, 2),
    ("INVALID_ARGUMENT", CODE.INVALID_ARGUMENT, errors.InvalidArgument, 2),
    ("REQUEST_ID_REUSED", CODE.ALREADY_EXISTS, errors.RequestIdReused, 1),
    ("WRONG_STATUS", CODE.FAILED_PRECONDITION, errors.WrongStatus, 1),
    ("JOB_LOCKED", CODE.FAILED_PRECONDITION, errors.JobLocked, 1),
    ("ETAG_MISMATCH", CODE.ABORTED, errors.EtagMismatch, 1),
    ("REVISION_AHEAD", CODE.OUT_OF_RANGE, errors.OutOfRange, 2),
    ("QUEUE_FULL", CODE.RESOURCE_EXHAUSTED, errors.Overloaded, 6),
    ("TOO_MANY_CALLS", CODE.RESOURCE_EXHAUSTED, errors.Overloaded, 6),
    ("CALL_TOO_LONG", CODE.DEADLINE_EXCEEDED, errors.DeadlineExceeded, 124),
    ("TOO_MANY_WATCHERS", CODE.RESOURCE_EXHAUSTED, errors.Overloaded, 6),
    ("UNAUTHENTICATED", CODE.UNAUTHENTICATED, errors.Unauthenticated, 4),
    ("PERMISSION_DENIED", CODE.PERMISSION_DENIED, errors.PermissionDenied, 4),
    ("INTERNAL", CODE.INTERNAL, errors.InternalError, 1),
    ("STORE_UNAVAILABLE", CODE.UNAVAILABLE, errors.Unavailable, 6),
    ("LOADER_UNAVAILABLE", CODE.UNAVAILABLE, errors.Unavailable, 6),
    ("DRAINING", CODE.UNAVAILABLE, errors.Unavailable, 6),
    ("WORKER_ONLY", CODE.UNIMPLEMENTED, errors.Unsupported, 1),
]


REPEATED = (CODE.UNAVAILABLE, CODE.CANCELLED)


def brief(connect: Connect, server: ScriptedServer, code: grpc.StatusCode) -> Client:
    """A client that repeats a call for a moment only; what is not repeated may take its time."""
    return connect(server.target, tenant="acme", timeout=0.5 if code in REPEATED else 20)


def test_the_table_of_reasons_is_tested_in_full() -> None:
    """A reason that is added is added here."""
    assert {reason for reason, *_ in TABLE} == set(errors.BY_REASON)


@pytest.mark.parametrize(("reason", "code", "kind", "exit_code"), TABLE)
def test_each_reason_has_its_class(
    connect: Connect,
    server: ScriptedServer,
    reason: str,
    code: grpc.StatusCode,
    kind: type[errors.HeadraceError],
    exit_code: int,
) -> None:
    """The class, the exit code, and what the server said with it."""
    server.on(
        "DeleteJob",
        Failure(code, reason, text="A sentence.", metadata={"job_id": "j1"}, fields={"spec.type": "Bad."}),
    )
    with pytest.raises(errors.HeadraceError) as raised:
        brief(connect, server, code).delete("j1")
    error = raised.value
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert (str(error), error.reason, error.code) == ("A sentence.", reason, code.name)
    assert error.metadata == {"job_id": "j1"}
    assert error.fields == (("spec.type", "Bad."),)
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (CODE.INVALID_ARGUMENT, errors.InvalidArgument),
        (CODE.NOT_FOUND, errors.JobNotFound),
        (CODE.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (CODE.CANCELLED, errors.Cancelled),
        (CODE.UNKNOWN, errors.InternalError),
        (CODE.UNIMPLEMENTED, errors.Unsupported),
        (CODE.DATA_LOSS, errors.HeadraceError),
    ],
)
def test_without_a_reason_the_code_decides(
    connect: Connect, server: ScriptedServer, code: grpc.StatusCode, kind: type[errors.HeadraceError]
) -> None:
    """What a proxy or the transport says still has a class; a code of no class has the base."""
    server.on("DeleteJob", Failure(code, text="said a proxy"))
    with pytest.raises(errors.HeadraceError) as raised:
        brief(connect, server, code).delete("j1")
    assert type(raised.value) is kind
    assert raised.value.reason == ""
    assert server.target in str(raised.value)


def test_a_reason_of_another_domain_is_not_ours(client: Client, server: ScriptedServer) -> None:
    """What a gateway calls JOB_LOCKED is not what Headrace calls so: the code decides."""
    server.on("DeleteJob", Failure(CODE.NOT_FOUND, "JOB_LOCKED", domain="gateway.example"))
    with pytest.raises(errors.JobNotFound) as raised:
        client.delete("j1")
    assert raised.value.reason == ""


def test_details_that_do_not_decode_are_none(client: Client, server: ScriptedServer) -> None:
    """They must not hide the failure itself."""

    def garbage(_request: Any, context: grpc.ServicerContext) -> Failure:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
        return Failure(CODE.NOT_FOUND, text="no route")

    server.on("DeleteJob", garbage)
    with pytest.raises(errors.JobNotFound, match="no route"):
        client.delete("j1")


def test_an_error_of_the_server_carries_its_id(client: Client, server: ScriptedServer) -> None:
    """error_id finds the traceback in the server's log."""
    server.on("DeleteJob", Failure(CODE.INTERNAL, "INTERNAL", metadata={"error_id": "e-7"}))
    with pytest.raises(errors.InternalError) as raised:
        client.delete("j1")
    assert raised.value.error_id == "e-7"
    assert errors.InternalError("without").error_id == ""


def test_the_transport_s_size_limit_is_payload_too_large(client: Client, server: ScriptedServer) -> None:
    """An answer over 4 MiB cannot be received."""
    answer = pb.GetJobResponse(job=job(spec={"description": "x" * (5 * 1024 * 1024)}))
    server.on("GetJob", answer)
    with pytest.raises(errors.PayloadTooLarge):
        client.get("j1")


def test_the_call_s_own_error_is_the_cause(client: Client, server: ScriptedServer) -> None:
    """What gRPC said is kept for whoever looks closer."""
    server.on("DeleteJob", Failure(CODE.NOT_FOUND, "JOB_NOT_FOUND"))
    with pytest.raises(errors.JobNotFound) as raised:
        client.delete("j1")
    assert isinstance(raised.value.__cause__, grpc.RpcError)


def test_python_s_own_names_for_errors_hold() -> None:
    """ValueError and TimeoutError catch what they should."""
    assert issubclass(errors.InvalidArgument, ValueError)
    assert issubclass(errors.DeadlineExceeded, TimeoutError)


def test_exit_codes_of_what_the_client_raises() -> None:
    """124 for time, 130 for a cancelled call, 3 for an aborted job, 1 for a failed one."""
    kinds: list[type[errors.HeadraceError]] = [
        errors.DeadlineExceeded,
        errors.Cancelled,
        errors.JobAborted,
        errors.JobFailed,
    ]
    assert [kind.exit_code for kind in kinds] == [124, 130, 3, 1]


def test_errors_survive_pickling() -> None:
    """A worker process can hand them to its parent."""
    refused = errors.InvalidArgument.of("priority", "Too high.")
    again = pickle.loads(pickle.dumps(refused))  # noqa: S301 - what was just made
    assert (str(again), again.fields) == ("priority: Too high.", (("priority", "Too high."),))
    failed = errors.JobFailed(convert.job(job("FAILED")))
    again = pickle.loads(pickle.dumps(failed))  # noqa: S301 - what was just made
    assert (str(again), again.job) == ("Job j1 (demo) failed.", failed.job)


def test_the_docstring_draws_every_class() -> None:
    """The tree names each class with its exit code, and no other."""
    drawn = dict(re.findall(r"── (\w+) +(\d+) ", errors.__doc__ or ""))
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {
        kind.__name__: str(kind.exit_code)
        for kind in classes
        if issubclass(kind, errors.HeadraceError) and not kind.__name__.startswith("_")
    }
    del raised["HeadraceError"]
    assert drawn == raised
