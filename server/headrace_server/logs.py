"""Logging: the standard library's loggers, written by structlog. The only module that knows it."""

import logging
import sys
from typing import Any

import structlog

BOUND = (
    "job_id",
    "job_type",
    "attempt",
    "worker",
    "status",
    "error_kind",
    "request_id",
    "error_id",
    "instance",
)
"""Keys that log calls give as `extra`: a line about a job has its job_id, and its attempt once it has one."""


SUCCESSES = "headrace_server.control.chronicle.successes"


def configure(level: str, form: str, *, successes: bool = False) -> None:
    """Write logs of `level` and above to standard error, as console lines or JSON.

    successes: a line for each job that succeeded too, which a busy server cannot bear.
    """
    logging.getLogger(SUCCESSES).setLevel(logging.INFO if successes else logging.WARNING)
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(allow=BOUND),
        _drop_empty,
    ]
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if console:
        last += [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it reports as errors what is handled and told here


def _drop_empty(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if value not in (None, "")}
