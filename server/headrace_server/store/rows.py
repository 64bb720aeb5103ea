"""Job <-> row and event <-> row.

Hot: every write passes here twice. Fields are read in one call (attrgetter), rows are taken by place, and only the
fields that need it are turned.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from json import JSONEncoder, loads
from operator import attrgetter
from typing import Any

from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import (
    Attempt,
    ErrorKind,
    Job,
    JobError,
    Progress,
    RetryPolicy,
    Status,
    Stop,
    StopPhase,
)
from headrace_server.store.statement import Row

# One encoder for all: json.dumps with options builds one for each call.
dumps = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

JOB_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Job))


def _encode_record(record: Any) -> dict[str, Any]:
    """The fields of a record that differ from their defaults: short, and a field added later needs no migration."""
    return {
        field.name: value
        for field in fields(record)
        if (value := getattr(record, field.name)) is not field.default
    }


def _decode_error(plain: dict[str, Any]) -> JobError:
    return JobError(**{**plain, "kind": ErrorKind(plain["kind"])})


def _encode_attempt(attempt: Attempt) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "number": attempt.number,
        "start_time": attempt.start_time,
        "instance": attempt.instance,
        "worker": attempt.worker,
    }
    if attempt.end_time is not None:
        plain["end_time"] = attempt.end_time
    if attempt.error is not None:
        plain["error"] = _encode_record(attempt.error)
    return plain


def _decode_attempt(plain: dict[str, Any]) -> Attempt:
    if "error" in plain:
        plain["error"] = _decode_error(plain["error"])
    return Attempt(**plain)


def _decode_stop(plain: dict[str, Any]) -> Stop:
    return Stop(**{**plain, "phase": StopPhase(plain["phase"])})


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a field that is no plain number or text is kept: NULL stands for `empty`."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    empty: Any = None


_CODECS: dict[str, _Codec] = {
    "labels": _Codec(lambda labels: dumps(dict(labels)), loads, {}),
    "retry": _Codec(
        lambda retry: dumps(_encode_record(retry)), lambda text: RetryPolicy(**loads(text)), RetryPolicy()
    ),
    "status": _Codec(int, {int(status): status for status in Status}.__getitem__),
    "locked": _Codec(bool, bool),
    "progress": _Codec(
        lambda progress: dumps(_encode_record(progress)), lambda text: Progress(**loads(text))
    ),
    "error": _Codec(lambda error: dumps(_encode_record(error)), lambda text: _decode_error(loads(text))),
    "attempts": _Codec(
        lambda attempts: dumps([_encode_attempt(attempt) for attempt in attempts]),
        lambda text: tuple(_decode_attempt(plain) for plain in loads(text)),
        (),
    ),
    "stop": _Codec(lambda stop: dumps(_encode_record(stop)), lambda text: _decode_stop(loads(text))),
}


def _codecs(names: Sequence[str]) -> list[tuple[int, _Codec]]:
    return [(place, _CODECS[name]) for place, name in enumerate(names) if name in _CODECS]


_JOB_CODECS = _codecs(JOB_FIELDS)


def job_of(row: Iterable[Any]) -> Job:
    """The job of a row whose columns are the fields of Job in their order."""
    values = list(row)
    for place, codec in _JOB_CODECS:
        kept = values[place]
        values[place] = codec.empty if kept is None else codec.decode(kept)
    return Job(*values)


def row_maker(names: Sequence[str]) -> Callable[[Job], Row]:
    """What turns a job into the values of these columns."""
    get = attrgetter(*names)
    codecs = _codecs(names)

    def row_of(job: Job) -> Row:
        values = list(get(job))
        for place, codec in codecs:
            value = values[place]
            values[place] = None if value == codec.empty else codec.encode(value)
        return tuple(values)

    return row_of


def event_row(event: Event, writer: int, seq: int) -> Row:
    """The row of an event at its place in the log, columns in the table's order."""
    return (
        event.job_id,
        event.revision,
        writer,
        seq,
        int(event.kind),
        event.at,
        event.attempt,
        int(event.status),
        dumps(event.body) if event.body else None,
    )


def event_of(row: Sequence[Any]) -> Event:
    """The event of a row (job_id, tenant, type, revision, at, attempt, status, kind, body)."""
    job_id, tenant, kind_of_job, revision, at, attempt, status, kind, body = row
    return Event(
        job_id,
        tenant,
        kind_of_job,
        revision,
        at,
        attempt,
        Status(status),
        EventKind(kind),
        loads(body) if body else {},
    )
