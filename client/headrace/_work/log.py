"""A logger for jobs: what it is given becomes messages of the job."""

import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from headrace._work.attempt import Level

_OWN = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})  # the words of logging itself
_FIELDS = "headrace_fields"


def clean(text: str) -> str:
    """Text as protobuf and the databases take it: no NUL, no lone surrogates."""
    text = str.__str__(text)  # of a subclass the text alone
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


class _ToContext(logging.Handler):
    """A handler that passes each record to the context.

    Unlike other handlers it does not swallow exceptions: JobStopped reaches the code that logs.
    """

    def __init__(self, send: Callable[[int, str], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - bad arguments of a log call end no job, as everywhere in logging
            self.handleError(record)
            return
        fields: Mapping[str, Any] = getattr(record, _FIELDS, {})
        if fields:
            first, *rest = text.split("\n", 1)  # a traceback stays below the fields
            text = "\n".join(
                [" ".join([first, *(f"{name}={value!r}" for name, value in fields.items())]), *rest]
            )
        self._send(_level(record.levelno), text)


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARNING
    return Level.INFO if number >= logging.INFO else Level.DEBUG


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger of one run: `log.info("saved %s", name, rows=3)` logs `saved x rows=3`.

    Its records carry job_id, job_type, attempt and headrace_fields as attributes, for handlers that
    a job adds to its `logger`. They do not go to the root logger: what that prints would come back
    as output of the job.
    """

    def __init__(self, send: Callable[[int, str], None], identity: Mapping[str, object]) -> None:
        logger = logging.Logger("headrace.job", logging.DEBUG)  # noqa: LOG001 - one a run, of no hierarchy
        logger.addHandler(_ToContext(send))
        super().__init__(logger, identity)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Take the fields out of the keywords."""
        fields = {name: value for name, value in kwargs.items() if name not in _OWN}
        own = {name: value for name, value in kwargs.items() if name in _OWN}
        own["extra"] = {**(own.get("extra") or {}), **(self.extra or {}), _FIELDS: fields}
        return msg, own
