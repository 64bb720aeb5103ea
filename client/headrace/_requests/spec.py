"""From Python arguments to the parts of requests: job, filter, patch, times. Pure functions.

What the contract cannot carry is refused here, before any call, with InvalidArgument naming the
argument. What a server allows (lengths, ranges, names) is left to the server, which knows its
settings.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from headrace import values, wire
from headrace._models.enums import GateScope, JobStatus
from headrace._models.retry_policy import RetryPolicy
from headrace.errors import InvalidArgument
from headrace.options import GateChanges, JobChanges, JobFilters, JobOptions, Span, SpecOptions
from headrace.v1 import admin_service_pb2, job_pb2, job_service_pb2, value_pb2

W = TypeVar("W", bound=StrEnum)

_INT32 = range(-(2**31), 2**31)
_LONGEST = timedelta(days=3_650_000)
"""About what google.protobuf.Duration can say: 10,000 years."""


def job_spec(job_type: str, parameters: Mapping[str, Any] | None, options: SpecOptions) -> job_pb2.JobSpec:
    """All that a caller gives about a job."""
    check_names(options, JobOptions)
    given: dict[str, Any] = {
        name: _TURNED[name](name, option) if name in _TURNED else option
        for name, option in options.items()
        if option is not None and name not in _OF_REQUEST
    }
    return job_pb2.JobSpec(
        type=job_type,
        parameters={name: value(f"parameters[{name}]", item) for name, item in (parameters or {}).items()},
        **given,
    )


def job_filter(filters: JobFilters) -> job_pb2.JobFilter:
    """Which jobs."""
    check_names(filters, JobFilters)
    conditions = [
        job_pb2.ParameterFilter(name=name, equals=value(f"parameters[{name}]", item))
        for name, item in (filters.get("parameters") or {}).items()
    ]
    conditions += [
        job_pb2.ParameterFilter(name=name, prefix=text)
        for name, text in (filters.get("parameter_prefix") or {}).items()
    ]
    return job_pb2.JobFilter(
        statuses=[
            job_pb2.JobStatus.Value(f"JOB_STATUS_{word('statuses', JobStatus, status)}")
            for status in entries(filters.get("statuses"))
        ],
        types=entries(filters.get("types")),
        owners=entries(filters.get("owners")),
        queues=entries(filters.get("queues")),
        session_ids=entries(filters.get("session_ids")),
        job_ids=entries(filters.get("job_ids")),
        batch_ids=entries(filters.get("batch_ids")),
        labels=filters.get("labels") or {},
        create_time_from=time("create_time_from", filters.get("create_time_from")),
        create_time_to=time("create_time_to", filters.get("create_time_to")),
        status_time_from=time("status_time_from", filters.get("status_time_from")),
        status_time_to=time("status_time_to", filters.get("status_time_to")),
        parameters=conditions,
    )


def job_patch(changes: JobChanges) -> job_service_pb2.JobPatch:
    """The new values of the fields that are given."""
    check_names(changes, JobChanges)
    return job_service_pb2.JobPatch(
        description=changes.get("description", ""),
        labels=changes.get("labels", {}),
        locked=changes.get("locked", False),
        priority=int32("priority", changes.get("priority", 0)),
        run_after=time("run_after", changes.get("run_after")),
        expire_time=time("expire_time", changes.get("expire_time")),
    )


def gate(scope: GateScope | str, name: str, changes: GateChanges) -> admin_service_pb2.Gate:
    """Which gate, with the new values of the fields that are given."""
    check_names(changes, GateChanges)
    limits = {field: changes.get(field) for field in ("max_running", "max_running_per_owner")}
    return admin_service_pb2.Gate(
        scope=admin_service_pb2.GateScope.Value(f"GATE_SCOPE_{word('scope', GateScope, scope)}"),
        name=name,
        paused=changes.get("paused", False),
        weight=int32("weight", changes.get("weight", 1)),
        **{field: int32(field, bound) for field, bound in limits.items() if isinstance(bound, int)},
    )


def value(field: str, item: Any) -> value_pb2.Value:
    """Returns the contract's form of a Python value.

    Raises InvalidArgument for a value that the contract does not carry.
    """
    try:
        return wire.to_proto(values.encode(item))
    except values.UnsupportedValue as error:
        raise InvalidArgument.of(field + error.path, error.description) from error


def time(field: str, at: datetime | timedelta | None) -> Timestamp | None:
    """A point in time; a timedelta counts from now."""
    if at is None:
        return None
    if isinstance(at, timedelta):
        try:
            at = datetime.now(UTC) + at
        except OverflowError:
            raise InvalidArgument.of(
                field, f"A time within the years 1 to 9999; now + {at} is not."
            ) from None
    if not isinstance(at, datetime):
        raise InvalidArgument.of(field, "It is a datetime with a time zone, or a timedelta from now.")
    if at.utcoffset() is None:
        raise InvalidArgument.of(field, "A datetime needs a time zone; this one is naive.")
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def span(field: str, length: Span | None) -> Duration | None:
    """A length of time; a number is seconds."""
    if length is None:
        return None
    delta = timedelta(seconds=seconds(field, length))
    duration = Duration()
    duration.FromTimedelta(delta)
    return duration


def seconds(field: str, length: Span) -> float:
    """Returns a length of time in seconds.

    Raises InvalidArgument for one that is negative or not finite.
    """
    result = length.total_seconds() if isinstance(length, timedelta) else float(length)
    if not 0 <= result <= _LONGEST.total_seconds():
        raise InvalidArgument.of(
            field, f"A length of time is not negative, and finite; this one is {length}."
        )
    return result


def int32(field: str, number: int) -> int:
    """A number that fits."""
    if number not in _INT32:
        raise InvalidArgument.of(field, f"A whole number of 32 bits; this one is {number}.")
    return number


def word(field: str, words: type[W], text: str) -> W:
    """A word of Headrace from its text. Raises InvalidArgument naming those that there are."""
    names = [name for name in words.__members__ if name != "UNKNOWN"]
    if text not in names:
        raise InvalidArgument.of(field, f"{str(text)!r} is none of {', '.join(names)}.")
    return words[text]


def entries(given: str | Iterable[str] | None) -> list[str]:
    """A list of entries, of which a single one may stand alone."""
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def _retry(_name: str, policy: RetryPolicy) -> job_pb2.RetryPolicy:
    return job_pb2.RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_backoff=span("retry_policy.initial_backoff", policy.initial_backoff),
        multiplier=policy.multiplier,
        max_backoff=span("retry_policy.max_backoff", policy.max_backoff),
    )


_OF_REQUEST: Final = frozenset({"tenant", "request_id"})
"""Options that are fields of the request, not of its spec."""

_TURNED: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "priority": int32,
    "run_after": time,
    "expire_time": time,
    "attempt_timeout": span,
    "retry_policy": _retry,
}
"""Options that the message holds otherwise. Each other one is the field of its name, as it is."""


def check_names(given: Mapping[str, object], known: type) -> None:
    """Raises TypeError for a misspelt keyword argument.

    Python does the same where a signature lists its keyword arguments.
    """
    for name in given:
        if name not in known.__annotations__:
            raise TypeError(
                f"unexpected keyword argument {name!r}: there are {', '.join(known.__annotations__)}"
            )
