"""Completes types, ids and statuses in the shell.

A server is asked for two seconds at most. Without one there is nothing to complete.
"""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import typer

from headrace.cli.terminal import clean
from headrace.errors import HeadraceError
from headrace.info import JobStatus

if TYPE_CHECKING:  # importing the client imports gRPC
    from headrace.client import Client

Found = list[tuple[str, str]]
_SECONDS = 2.0
_JOBS = 100
"""So many of the newest jobs are offered."""


def statuses(incomplete: str) -> list[str]:
    """The statuses that a job can have."""
    known = [status for status in JobStatus.__members__ if status.startswith(incomplete.upper())]
    # What was typed stands, or the shell would pass the word over.
    return (
        [incomplete + status[len(incomplete) :].lower() for status in known]
        if incomplete.islower()
        else known
    )


def types(context: typer.Context, incomplete: str) -> Found:
    """The types that the server has loaded."""
    return _asked(
        context,
        lambda client: (
            (one.type, one.description.partition("\n")[0])
            for one in client.types()
            if one.type and one.type.startswith(incomplete)
        ),
    )


def job_ids(context: typer.Context, incomplete: str) -> Found:
    """The newest jobs, with what they are."""
    return _asked(
        context,
        lambda client: (
            (job.job_id, f"{job.status} {job.spec.type}")
            for job in islice(client.list(page_size=_JOBS), _JOBS)
            if job.job_id.startswith(incomplete)
        ),
    )


def _asked(context: typer.Context, ask: Callable[["Client"], Iterator[tuple[str, str]]]) -> Found:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from headrace.client import Client  # noqa: PLC0415 - imports gRPC

    tenant = _option(context, "tenant") or os.environ.get("HEADRACE_TENANT", "")
    try:
        with Client(_option(context, "target"), tenant=tenant, timeout=_SECONDS) as client:
            return [(clean(word), clean(said)) for word, said in ask(client)]
    except (HeadraceError, ValueError):
        return []


def _option(context: Any, name: str) -> str | None:
    """Return the text typed so far for an option, after the command or before it."""
    while context is not None:
        if value := context.params.get(name):
            return str(value)
        context = context.parent
    return None
