"""The one decoder of stored data: rows of jobs, bodies of events, and reports of instances.

A later version may have written it, since two serve one database during an upgrade, and a row may
be damaged. Neither raises here:

- A key that is not known is kept, byte for byte. While the value of a column stays the same, its
  text is written back as it was stored (`Kept`, in domain.job). A record that is changed in a part
  carries the members that it does not know (`unknown`) through the change, and they are written
  behind its own. They go when the record goes as a whole: progress and error with a new attempt.
- A number of an enum that is not known is a word UNKNOWN (domain.open_enum).
- What cannot be read at all is as good as not there, and the job is *illegible*: it is shown
  without that part, it is neither claimed nor changed by callers, and the log tells of it once.

So a row harms itself alone. Hot: what this version has written takes the short way, and pays
nothing for all that.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from json import loads
from typing import Any, Final, TypeVar

from headrace_server.domain.job import Attempt, ErrorKind, JobError, Kept, Progress, Status, Stop, StopPhase
from headrace_server.domain.once import Once
from headrace_server.domain.open_enum import word
from headrace_server.domain.spec import RetryPolicy
from headrace_server.store.tables.raw_json import elements, members, other_members

logger = logging.getLogger(__name__)

R = TypeVar("R", Attempt, JobError, Progress, RetryPolicy, Stop)
_told: Final = Once()


_NAMES: Final[Mapping[Any, frozenset[str]]] = {
    of: frozenset(field.name for field in fields(of)) - {"unknown"}
    for of in (Attempt, JobError, Progress, RetryPolicy, Stop)
}


def record(of: type[R], text: str, /, **words: type[IntEnum]) -> R:
    """A record with what this version does not know of it; words: the fields that are enums.

    Raises TypeError where a field is missing.
    """
    plain = loads(text)
    known = {name: value for name, value in plain.items() if name in _NAMES[of]}
    for name, enum in words.items():
        known[name] = word(enum, known[name])
    return of(**known, unknown=other_members(text, _NAMES[of]))


def error_of(text: str) -> JobError:
    """Why something ended without success."""
    return record(JobError, text, kind=ErrorKind)


def _attempt_of(text: str) -> Attempt:
    attempt = record(Attempt, text)
    errors = [value for name, value, _ in members(text) if name == "error"]
    return replace(attempt, error=error_of(errors[-1])) if errors else attempt


def _labels_of(text: str) -> dict[str, Any]:
    labels = loads(text)
    if not isinstance(labels, dict):
        raise TypeError("labels are an object")
    return labels


def _exact(kind: type[R], plain: dict[str, Any]) -> R:
    """The short way: every key is known."""
    if "unknown" in plain:
        raise ValueError("another has written it")
    return kind(**plain)


def _exactly(kind: type[R]) -> Callable[[str], R]:
    return lambda text: _exact(kind, loads(text))


def _error_exactly(plain: dict[str, Any]) -> JobError:
    plain["kind"] = ErrorKind(plain["kind"])
    return _exact(JobError, plain)


def _attempt_exactly(plain: dict[str, Any]) -> Attempt:
    if "error" in plain:
        plain["error"] = _error_exactly(plain["error"])
    return _exact(Attempt, plain)


def _stop_exactly(text: str) -> Stop:
    plain = loads(text)
    plain["phase"] = StopPhase(plain["phase"])
    return _exact(Stop, plain)


@dataclass(frozen=True, slots=True)
class Decoder:
    """The way in which a column is read.

    `exactly` raises for what this version has not written itself. `leniently` raises only for what
    no version can read.

    empty stands for NULL, and for what nobody can read.
    """

    exactly: Callable[[Any], Any]
    leniently: Callable[[Any], Any]
    empty: Any = None


DECODERS: Final[Mapping[str, Decoder]] = {
    "labels": Decoder(_labels_of, _labels_of, {}),
    "retry": Decoder(_exactly(RetryPolicy), lambda text: record(RetryPolicy, text), RetryPolicy()),
    "status": Decoder(
        {int(status): status for status in Status}.__getitem__, lambda number: word(Status, number)
    ),
    "locked": Decoder(bool, bool),
    "progress": Decoder(_exactly(Progress), lambda text: record(Progress, text)),
    "error": Decoder(lambda text: _error_exactly(loads(text)), error_of),
    "attempts": Decoder(
        lambda text: tuple(_attempt_exactly(plain) for plain in loads(text)),
        lambda text: tuple(map(_attempt_of, elements(text))),
        (),
    ),
    "stop": Decoder(_stop_exactly, lambda text: record(Stop, text, phase=StopPhase)),
}
"""The columns of a job that are no plain number or text."""


@dataclass(frozen=True, slots=True)
class Plain:
    """What a column that is a number or a text may hold."""

    kind: type
    optional: bool

    def fits(self, kind: type) -> bool:
        """Whether values of this type are what it holds."""
        return kind is self.kind or (self.optional and kind is _NOTHING)

    def read(self, stored: Any) -> Any:
        """Return what can be read of a value of another type.

        It raises nothing.
        """
        if self.kind is str:
            return stored.decode(errors="replace") if isinstance(stored, bytes) else str(stored)
        return None if self.optional else 0


_NOTHING: Final = type(None)


def keep_plain(job_id: str, name: str, stored: Any, value: Any) -> Kept:
    """Keep a stored value that is not the number or text that it should be.

    `value` stands in its place.
    """
    if _told.first(job_id, name):
        words = "A part of a job cannot be read: %s holds %.100r"
        logger.error(words, name, stored, extra={"job_id": job_id})
    return Kept(name, stored, value, legible=False)


def keep(job_id: str, name: str, stored: Any) -> Kept:
    """Keep a column that could not be read exactly, with what can be read of it."""
    try:
        value = DECODERS[name].leniently(stored)
        legible = name != "status"
        if not legible and _told.first(job_id, name):
            logger.error(
                "The status of a job is none that this version knows: %r", stored, extra={"job_id": job_id}
            )
        return Kept(name, stored, value, legible=legible)
    except Exception as error:  # noqa: BLE001 - whatever it holds, it harms this job alone
        if _told.first(job_id, name):
            words = "A part of a job cannot be read: %s: %r"
            logger.error(words, name, error, extra={"job_id": job_id})  # noqa: TRY400 - once, and in a line
        return Kept(name, stored, DECODERS[name].empty, legible=False)


def mapping_of(text: str | None, *, whose: str, what: str) -> dict[str, Any]:
    """A JSON object; an empty one for what is none, of which the log tells once."""
    if not text:
        return {}
    try:
        plain = loads(text)
        if isinstance(plain, dict):
            return plain
        error: Exception = TypeError("it is no JSON object")
    except (ValueError, TypeError, RecursionError) as damaged:
        error = damaged
    if _told.first(whose, what):
        logger.error("%s of %s cannot be read: %r", what, whose, error)
    return {}
