"""Jobs in a file for submit-many: a JSON object in each line, as `headrace get -o json` names them.

    {"type": "image.resize", "parameters": {"file": "a.png"}, "priority": 5, "labels": {"team": "x"}}

Times are written as on the command line: run_after and expire_time ISO 8601 or +30s, lengths 5m.
"""

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from headrace._models.retry_policy import RetryPolicy
from headrace.cli import notation
from headrace.cli.assignments import read_json
from headrace.cli.times import read_future, read_span
from headrace.options import NewJob, SpecOptions

_STDIN: Final = Path("-")


class JobLines:
    """A file of jobs, read as it is needed. size: its bytes, None where nobody knows."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self.size = _size(path, stream)
        self.read = 0
        """Bytes that were read."""

    def __iter__(self) -> Iterator[NewJob]:
        """The jobs. Raises ValueError naming the line; empty lines are left out."""
        for number, line in enumerate(self._stream, 1):
            self.read += len(line)
            if line.strip():
                try:
                    yield _job(line)
                except (ValueError, TypeError) as error:
                    raise ValueError(f"{self._path}, line {number}: {error}") from None


@contextmanager
def opened(path: Path) -> Iterator[JobLines]:
    """A file, or stdin for `-`. Raises ValueError when it cannot be read."""
    if path == _STDIN:
        yield JobLines(path, sys.stdin.buffer if sys.stdin is not None else io.BytesIO())
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    with stream:
        yield JobLines(path, stream)


def _size(path: Path, stream: BinaryIO) -> int | None:
    if path == _STDIN or not stream.seekable():
        return None
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def _job(line: bytes) -> NewJob:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise ValueError("It is not UTF-8 text.") from None
    try:
        given = read_json(text)
    except ValueError as error:
        raise ValueError(f"It is no JSON: {error}.") from None
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        raise ValueError('It is no JSON object with a "type".')  # noqa: TRY004 - the file is wrong
    parameters = given.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise ValueError("parameters is no JSON object.")  # noqa: TRY004 - likewise
    options: Any = {
        name: _option(name, value) for name, value in given.items() if name not in ("type", "parameters")
    }
    return NewJob(
        given["type"], {name: notation.read(value) for name, value in parameters.items()}, **options
    )


def _option(name: str, value: Any) -> Any:
    if name not in SpecOptions.__annotations__:
        known = ", ".join(("type", "parameters", *SpecOptions.__annotations__))
        raise ValueError(f"{name!r} is nothing that a job has: there are {known}.")
    kind = _KINDS[name]
    if value is not None and not (isinstance(value, kind) and not isinstance(value, bool)):
        raise ValueError(f"{name} is not {value!r}: {_WORDS[kind]} is wanted.")
    return _TURNED[name](value) if value is not None and name in _TURNED else value


def _retry(given: Mapping[str, Any]) -> RetryPolicy:
    turned: dict[str, Any] = {
        name: read_span(value) if isinstance(value, str) and name.endswith("_backoff") else value
        for name, value in given.items()
    }
    return RetryPolicy(**turned)


_KINDS: Final[Mapping[str, type]] = {
    "priority": int,
    "labels": Mapping,
    "retry_policy": Mapping,
    **dict.fromkeys(
        ("description", "owner", "session_id", "queue", "run_after", "expire_time", "attempt_timeout"), str
    ),
}
_WORDS: Final[Mapping[type, str]] = {int: "a whole number", Mapping: "an object", str: "text"}
_TURNED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "run_after": read_future,
    "expire_time": read_future,
    "attempt_timeout": read_span,
    "retry_policy": _retry,
}
