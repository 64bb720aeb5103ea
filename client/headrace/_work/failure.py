"""Turns an exception into the error of a job.

The error has its kind, its text, and a traceback that begins in the job's own code.
"""

import asyncio
import os
import traceback
from pathlib import Path
from typing import Any, Final

from headrace._work.attempt import ErrorKind, ResourceFailed, ResultNotSerializable, ResultTooLarge
from headrace._work.log import clean

TRACEBACK_MAX: Final = 64 * 1024
"""The most bytes of a traceback; a longer one loses its middle."""

MESSAGE_MAX: Final = 4096
"""The most bytes of an error's message."""

NAME_MAX: Final = 255
"""The most bytes of an error's code, of the name of its type, and of its step."""

_KINDS: dict[type[BaseException], ErrorKind] = {
    ResultTooLarge: ErrorKind.RESULT_TOO_LARGE,
    ResultNotSerializable: ErrorKind.RESULT_NOT_SERIALIZABLE,
    ResourceFailed: ErrorKind.SETUP_FAILED,
}
_FRAMEWORK = (str(Path(__file__).parent) + os.sep, str(Path(asyncio.__file__).parent) + os.sep)


def failure(error: BaseException, *, kind: ErrorKind | None = None, step: str = "") -> dict[str, Any]:
    """The fields of a JobError. kind None: what the type of the exception says, else EXCEPTION."""
    name = type_name(error)
    return {
        "kind": int(kind or _KINDS.get(type(error), ErrorKind.EXCEPTION)),
        "message": cut(clean(_text(error) or name), MESSAGE_MAX),
        "code": "",
        "type": cut(clean(name), NAME_MAX),
        "step": cut(step, NAME_MAX),
        "traceback": format_traceback(error),
    }


def undescribed(error: BaseException) -> dict[str, Any]:
    """The fields for an exception of which `failure` cannot be made."""
    return {
        "kind": int(ErrorKind.EXCEPTION),
        "message": "The job ended with an error that cannot be described: its own code fails.",
        "code": "",
        "type": cut(clean(type_name(error)), NAME_MAX),
        "step": "",
        "traceback": format_traceback(error),
    }


def type_name(error: BaseException) -> str:
    """The name of an exception's type, with its module where that is not builtins."""
    kind = type(error)
    try:
        return (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
    except BaseException:  # noqa: BLE001 - a metaclass of the job's own making
        return type.__dict__["__name__"].__get__(kind)  # type: ignore[no-any-return]


def _text(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except BaseException:  # noqa: BLE001 - an exception of the job's own making
        return "(an error without words: its __str__ fails)"


def its(error: BaseException, name: str) -> Any:
    """Return what Python itself keeps of an exception: __traceback__, __cause__ or __context__.

    A class of the job may hide it.
    """
    return BaseException.__dict__[name].__get__(error)


def format_traceback(error: BaseException) -> str:
    """The traceback as Python prints it, from the job's own code on, at most 64 KiB."""
    trace = its(error, "__traceback__")
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_FRAMEWORK):
        trace = trace.tb_next
    try:
        text = "".join(traceback.TracebackException(type(error), error, trace, compact=True).format())
    except BaseException:  # noqa: BLE001 - as above: the job's own __repr__, source that cannot be read, too deep a group
        text = f"{type_name(error)}: {_text(error)}\n"
    return cut(clean(text), TRACEBACK_MAX)


def cut(text: str, limit: int) -> str:
    """Return the text, cut to at most `limit` bytes of UTF-8.

    A marker replaces the middle, because both ends say the most.
    """
    data = text.encode()
    if len(data) <= limit:
        return text
    marker = f"\n… {len(data) - limit} bytes left out …\n".encode()
    head = (limit - len(marker)) // 4
    tail = limit - len(marker) - head
    return data[:head].decode(errors="ignore") + marker.decode() + data[-tail:].decode(errors="ignore")
