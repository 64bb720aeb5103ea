"""Headrace, the client: submit a job, watch it live, stop it for real, get its result.

    from headrace import Client

    with Client() as client:
        job = client.submit("image.resize", {"file": "s3://photos/1.png"})
        print(job.result())

Names are loaded when they are first used: a worker that imports headrace.jobs loads no gRPC.
"""

from importlib import import_module

TYPE_CHECKING = False
"""False at run time and true for type checkers, as `typing.TYPE_CHECKING` is.

Importing typing takes longer than all that a command needs before it heeds Ctrl-C.
"""
if TYPE_CHECKING:  # what __getattr__ gives, told to type checkers
    from typing import Any

    from headrace._models.retry_policy import RetryPolicy
    from headrace.aio import AsyncClient
    from headrace.client import Client
    from headrace.errors import HeadraceError, JobAborted, JobFailed
    from headrace.handle import JobHandle
    from headrace.info import JobInfo, JobStatus, Progress
    from headrace.values import File, Reference

    __version__: str

__all__ = [
    "AsyncClient",
    "Client",
    "File",
    "HeadraceError",
    "JobAborted",
    "JobFailed",
    "JobHandle",
    "JobInfo",
    "JobStatus",
    "Progress",
    "Reference",
    "RetryPolicy",
]

_HOMES = {
    "AsyncClient": "aio",
    "Client": "client",
    "File": "values",
    "HeadraceError": "errors",
    "JobAborted": "errors",
    "JobFailed": "errors",
    "JobHandle": "handle",
    "JobInfo": "info",
    "JobStatus": "info",
    "Progress": "info",
    "Reference": "values",
    "RetryPolicy": "_models.retry_policy",
}
"""Each public name and the module that it lives in."""


def __getattr__(name: str) -> "Any":
    if name == "__version__":
        value = import_module("headrace._version").read()
    elif name in _HOMES:
        value = getattr(import_module(f"headrace.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
