"""From what a caller gives to a checked Spec: every bad field is named, all of them at once."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from operator import attrgetter

from headrace_server.control.validate.limits import Limits
from headrace_server.domain.errors import FieldViolation, InvalidArgument
from headrace_server.domain.ports.job_types import JobTypes
from headrace_server.domain.spec import BACKOFF_MAX, GivenSpec, RetryPolicy, Spec
from headrace_server.domain.values import dumps, problems

PRIORITY_MAX = 1_000_000
ATTEMPTS_MAX = 1000
LABELS_MAX = 32


NAMES = tuple(
    one.name for one in fields(Spec) if one.type is str and one.name not in ("description", "traceparent")
)
"""The texts of a spec that are at most as long as a name.

A description may be longer; a traceparent was checked by its form.
"""
_names = attrgetter(*NAMES)


async def check_spec(given: GivenSpec, types: JobTypes, limits: Limits) -> tuple[Spec, str]:
    """Return the spec with its type's defaults, and its parameters as text.

    Raises UnknownType, InvalidParameter, InvalidArgument.
    """
    violations = list(_violations(given, limits))
    if violations:
        raise InvalidArgument(*violations)
    spec = given.spec
    defaults = types.defaults(spec.type)
    parameters = dumps(await types.check(spec.type, given.parameters))
    if len(parameters.encode()) > limits.parameters_bytes:
        raise InvalidArgument(_too_large(limits))
    retry = spec.retry if given.has_retry else defaults.retry
    timeout = defaults.timeout if spec.timeout is None else spec.timeout
    if retry == spec.retry and timeout == spec.timeout:  # as a rule: a copy costs more than the question
        return spec, parameters
    return replace(spec, retry=retry, timeout=timeout), parameters


def _violations(given: GivenSpec, limits: Limits) -> Iterator[FieldViolation]:
    spec = given.spec
    if not spec.type:
        yield FieldViolation("spec.type", "A job needs a type; ListJobTypes names those that exist.")
    for path, text in problems(given.parameters, field="spec.parameters", max_depth=limits.value_depth):
        yield FieldViolation(path, text)
    for name, text in zip(NAMES, _names(spec), strict=True):
        if text:
            yield from check_text(f"spec.{name}", text, limits.name_chars)
    yield from check_text("spec.description", spec.description, limits.description_chars)
    yield from check_labels("spec.labels", spec.labels)
    yield from check_priority("spec.priority", spec.priority)
    if spec.timeout is not None and spec.timeout <= 0:
        yield FieldViolation("spec.attempt_timeout", "An attempt_timeout is longer than nothing.")
    if given.has_retry:
        yield from _retry_violations(spec.retry)


def _retry_violations(retry: RetryPolicy) -> Iterator[FieldViolation]:
    path = "spec.retry_policy"
    if not 1 <= retry.max_attempts <= ATTEMPTS_MAX:
        yield FieldViolation(f"{path}.max_attempts", f"It is 1 to {ATTEMPTS_MAX}.")
    if not 1 <= retry.multiplier <= 1000:  # noqa: PLR2004 - the contract's bounds
        yield FieldViolation(f"{path}.multiplier", "It is 1 to 1000.")
    for name in ("initial_backoff", "max_backoff"):
        if not 0 <= getattr(retry, name) <= BACKOFF_MAX:
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
