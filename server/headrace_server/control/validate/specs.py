"""From what a caller gives to a checked Spec: every bad field is named, all of them at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_server.control.validate.limits import Limits
from headrace_server.domain.errors import FieldViolation, InvalidArgument
from headrace_server.domain.job import BACKOFF_MAX, RetryPolicy, Spec
from headrace_server.domain.ports.job_types import JobTypes
from headrace_server.domain.values import dumps, problems

PRIORITY_MAX = 1_000_000
ATTEMPTS_MAX = 1000
LABELS_MAX = 32


@dataclass(frozen=True, slots=True)
class GivenRetry:
    """A retry policy as sent: 0 and None stand for the defaults."""

    max_attempts: int
    initial_backoff: int | None
    multiplier: float
    max_backoff: int | None


@dataclass(frozen=True, slots=True)
class GivenSpec:
    """A spec as sent. parameters are plain values; times and lengths of time in microseconds."""

    type: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    owner: str = ""
    session_id: str = ""
    queue: str = ""
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    run_after: int | None = None
    expire_time: int | None = None
    timeout: int | None = None
    retry: GivenRetry | None = None
    traceparent: str = ""


async def check_spec(given: GivenSpec, types: JobTypes, limits: Limits) -> Spec:
    """The spec with its type's defaults. Raises UnknownType, InvalidParameter, InvalidArgument."""
    violations = list(_violations(given, limits))
    if violations:
        raise InvalidArgument(*violations)
    defaults = types.defaults(given.type)
    parameters = dumps(await types.check(given.type, given.parameters))
    if len(parameters.encode()) > limits.parameters_bytes:
        raise InvalidArgument(_too_large(limits))
    return Spec(
        type=given.type,
        parameters=parameters,
        description=given.description,
        owner=given.owner,
        session_id=given.session_id,
        queue=given.queue or "default",
        priority=given.priority,
        labels=dict(given.labels),
        run_after=given.run_after,
        expire_time=given.expire_time,
        timeout=given.timeout if given.timeout is not None else defaults.timeout,
        retry=defaults.retry if given.retry is None else _retry(given.retry),
        traceparent=given.traceparent,
    )


def _retry(given: GivenRetry) -> RetryPolicy:
    default = RetryPolicy()
    initial = default.initial_backoff if given.initial_backoff is None else given.initial_backoff
    return RetryPolicy(
        max_attempts=given.max_attempts or default.max_attempts,
        initial_backoff=initial,
        multiplier=given.multiplier or default.multiplier,
        max_backoff=default.max_backoff if given.max_backoff is None else given.max_backoff,
    )


def _violations(given: GivenSpec, limits: Limits) -> Iterator[FieldViolation]:
    if not given.type:
        yield FieldViolation("spec.type", "A job needs a type; ListJobTypes names those that exist.")
    for path, text in problems(given.parameters, field="spec.parameters", max_depth=limits.value_depth):
        yield FieldViolation(path, text)
    for name in ("type", "owner", "session_id", "queue"):
        yield from check_text(f"spec.{name}", getattr(given, name), limits.name_chars)
    yield from check_text("spec.description", given.description, limits.description_chars)
    yield from check_labels("spec.labels", given.labels)
    yield from check_priority("spec.priority", given.priority)
    if given.timeout is not None and given.timeout <= 0:
        yield FieldViolation("spec.attempt_timeout", "An attempt_timeout is longer than nothing.")
    if given.retry is not None:
        yield from _retry_violations(given.retry)


def _retry_violations(given: GivenRetry) -> Iterator[FieldViolation]:
    path = "spec.retry_policy"
    if not 0 <= given.max_attempts <= ATTEMPTS_MAX:
        yield FieldViolation(f"{path}.max_attempts", f"It is 1 to {ATTEMPTS_MAX}.")
    if given.multiplier and not 1 <= given.multiplier <= 1000:  # noqa: PLR2004 - the contract's bounds
        yield FieldViolation(f"{path}.multiplier", "It is 1 to 1000.")
    for name in ("initial_backoff", "max_backoff"):
        wait = getattr(given, name)
        if wait is not None and not 0 <= wait <= BACKOFF_MAX:
            yield FieldViolation(f"{path}.{name}", "It is 0 to 365 days.")


def check_text(path: str, text: str, limit: int) -> Iterator[FieldViolation]:
    """Violations of a text field."""
    if len(text) > limit:
        yield FieldViolation(path, f"It is {len(text)} characters long; at most {limit} are allowed.")
    if "\0" in text:
        yield FieldViolation(path, "Text contains no NUL character.")


def check_labels(path: str, labels: Mapping[str, str]) -> Iterator[FieldViolation]:
    """Violations of labels."""
    if len(labels) > LABELS_MAX:
        yield FieldViolation(path, f"There are {len(labels)} labels; at most {LABELS_MAX} are allowed.")
    for key, value in labels.items():
        if not 1 <= len(key) <= 63 or "\0" in key:  # noqa: PLR2004 - the contract's bound
            yield FieldViolation(path, f"The key {key[:63]!r} is not 1 to 63 characters without NUL.")
        yield from check_text(f"{path}[{key}]", value, 255)


def check_priority(path: str, priority: int) -> Iterator[FieldViolation]:
    """Violations of a priority."""
    if abs(priority) > PRIORITY_MAX:
        yield FieldViolation(path, f"It is -{PRIORITY_MAX} to {PRIORITY_MAX}.")


def _too_large(limits: Limits) -> FieldViolation:
    return FieldViolation(
        "spec.parameters",
        f"They are larger than {limits.parameters_bytes} bytes together: pass large data by reference.",
    )
