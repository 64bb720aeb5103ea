"""Logging: the standard library's loggers, written by structlog. The only module that knows it.

Nothing in a record makes a line of its own or moves a cursor: what peers have said is in many of
them. JSON escapes it; lines for a console are escaped here, and those of a traceback begin with a
mark.
"""

import json
import logging
import os
import traceback
from typing import Any, TextIO

import structlog

from headrace_server.log_sink import LogSink
from headrace_server.printable import printable
from headrace_server.streams import inherited

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
"""The keys that log calls give as `extra`.

A line about a job has its job_id, and its attempt once it has one.
"""


SUCCESSES = "headrace_server.control.job_log.successes"


def configure(level: str, form: str, sink: LogSink, *, successes: bool = False) -> None:
    """Write logs of `level` and above to a sink, as console lines or JSON.

    successes: a line for each job that succeeded too, which a busy server cannot bear.
    """
    logging.getLogger(SUCCESSES).setLevel(logging.INFO if successes else logging.WARNING)
    terminal = os.isatty(inherited())
    console = form == "console" or (form == "auto" and terminal)
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(allow=BOUND),
        _drop_empty,
    ]
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if console:
        last += [
            _escape,
            structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=_write_exception),
        ]
    else:
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    handler = _SinkHandler(sink)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    sink.tell = handler.dropped
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it reports as errors what is handled and told here


def _drop_empty(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if value not in (None, "")}


def _escape(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _to_json(event: Any, **how: Any) -> str:
    return json.dumps(event, **how).replace("\x7f", "\\u007f")  # the one control character that JSON leaves


def _write_exception(out: TextIO, exc_info: Any) -> None:
    out.writelines(
        f"\n  | {printable(line)}" for line in "".join(traceback.format_exception(*exc_info)).splitlines()
    )


class _SinkHandler(logging.Handler):
    """Gives each record to the sink, as one piece."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the sink."""
        try:
            self._sink.put(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler does
            self.handleError(record)

    def dropped(self, count: int) -> str:
        """The record that says how many were dropped."""
        text = "%d lines of the log were dropped: nobody read standard error"
        return self.format(
            logging.LogRecord("headrace_server.logs", logging.WARNING, "", 0, text, (count,), None)
        )
