"""The one table of a spec's fields, for both ways: JobSpec of the contract <-> domain.spec.Spec.

A text or a number that is called the same on both sides needs no line: it is taken as it is. TURNED
has those that are called or held otherwise. Hot: each submit is read and shown here, so what is
taken as it is, is taken in one call.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from headrace.v1 import job_pb2
from headrace.wire import InvalidValue, map_from_proto
from headrace_server.codec.times import duration, length, length_or_none, refuse, time, timestamp_or_none
from headrace_server.domain.spec import SPEC_FIELDS, GivenSpec, RetryPolicy, Spec

_DEFAULT_RETRY: Final = RetryPolicy()


def _retry(message: job_pb2.JobSpec, field: str, path: str) -> RetryPolicy:
    """A retry policy: 0, and a length that is not set, stand for the defaults."""
    if not message.HasField("retry_policy"):
        return _DEFAULT_RETRY
    policy: job_pb2.RetryPolicy = getattr(message, field)
    initial = duration(policy, "initial_backoff", f"{path}.initial_backoff")
    most = duration(policy, "max_backoff", f"{path}.max_backoff")
    return RetryPolicy(
        max_attempts=policy.max_attempts or _DEFAULT_RETRY.max_attempts,
        initial_backoff=_DEFAULT_RETRY.initial_backoff if initial is None else initial,
        multiplier=policy.multiplier or _DEFAULT_RETRY.multiplier,
        max_backoff=_DEFAULT_RETRY.max_backoff if most is None else most,
    )


@lru_cache(maxsize=256)
def retry_policy(policy: RetryPolicy) -> job_pb2.RetryPolicy:
    """A retry policy with nothing left to defaults. Not to be changed: most jobs have the same."""
    return job_pb2.RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_backoff=length(policy.initial_backoff),
        multiplier=policy.multiplier,
        max_backoff=length(policy.max_backoff),
    )


class Turned(NamedTuple):
    """The name of a field in the message, and how it is read and written.

    `read` takes the message, the field, and the path for errors.
    """

    field: str
    read: Callable[[job_pb2.JobSpec, str, str], Any]
    write: Callable[[Any], Any]


TURNED: Final = {
    "queue": Turned("queue", lambda message, field, _path: getattr(message, field) or "default", str),
    "labels": Turned("labels", lambda message, field, _path: dict(getattr(message, field)), dict),
    "run_after": Turned("run_after", time, timestamp_or_none),
    "expire_time": Turned("expire_time", time, timestamp_or_none),
    "timeout": Turned("attempt_timeout", duration, length_or_none),
    "retry": Turned("retry_policy", _retry, retry_policy),
}
BESIDE: Final = frozenset({"traceparent"})
"""The fields of a spec that are carried beside the message instead of in it.

They are in the metadata of the call, and in JobInfo.
"""

_AS_IT_IS: Final = tuple(name for name in SPEC_FIELDS if name not in TURNED and name not in BESIDE)
_taken = attrgetter(*_AS_IT_IS)


def read_spec(message: job_pb2.JobSpec, traceparent: str) -> GivenSpec:
    """A spec as it was sent. Raises InvalidArgument naming the field for what does not parse."""
    try:
        parameters = map_from_proto(message.parameters, "spec.parameters")
    except InvalidValue as error:
        raise refuse(error.path, error.description) from None
    values = dict(zip(_AS_IT_IS, _taken(message), strict=True))
    for name, (field, read, _write) in TURNED.items():
        values[name] = read(message, field, f"spec.{field}")
    spec = Spec(**values, traceparent=traceparent)
    return GivenSpec(spec, parameters, has_retry=message.HasField("retry_policy"))


def read_sent(message: job_pb2.JobSpec, traceparent: str) -> tuple[GivenSpec, bytes]:
    """A spec of a batch, with the bytes that are the same for the same spec."""
    return read_spec(message, traceparent), message.SerializeToString(deterministic=True)


def spec_message(spec: Spec) -> job_pb2.JobSpec:
    """Return a spec as the contract has it, without its parameters.

    Raises ValueError, TypeError for what the contract cannot carry.
    """
    values: dict[str, Any] = dict(zip(_AS_IT_IS, _taken(spec), strict=True))
    for name, (field, _read, write) in TURNED.items():
        values[field] = write(getattr(spec, name))
    return job_pb2.JobSpec(**values)
