"""Check what a filter holds, and work out what it means.

Without bounds one request of 4 MiB would keep the database busy for every caller. Values that
parameters are compared with are converted by the signature of the type, as those of a submit are: a
job is found by what it was submitted with.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from headrace_server.control.validate.specs import LABELS_MAX, check_text
from headrace_server.domain.errors import FieldViolation, InvalidArgument, InvalidParameter
from headrace_server.domain.ports.job_types import JobTypes
from headrace_server.domain.query import Filter, ParameterFilter
from headrace_server.domain.values import NAME_MAX, dumps, problems

ENTRIES_MAX = 1000
PATTERNS_MAX = 100
"""The most types of a filter, and the most conditions on parameters.

Each is a clause of its own, and SQLite nests no more than 1,000.
"""
TEXT_MAX = 255
PARAMETER_TEXT_MAX = 4096
DEPTH_MAX = 16


def filter_violations(which: Filter) -> Iterator[FieldViolation]:
    """Yield by field what no query can answer."""
    for name in ("statuses", "types", "owners", "queues", "session_ids", "job_ids", "batch_ids"):
        path, entries = f"filter.{name}", getattr(which, name)
        most = PATTERNS_MAX if name == "types" else ENTRIES_MAX
        yield from _few(path, len(entries), most)
        if name != "statuses":
            for index, text in enumerate(entries[:most]):
                yield from check_text(f"{path}[{index}]", text, TEXT_MAX)
    for index, pattern in enumerate(which.types[:PATTERNS_MAX]):
        if "*" in pattern[:-1]:
            yield FieldViolation(f"filter.types[{index}]", "Only the last character may be *.")
    yield from _few("filter.labels", len(which.labels), LABELS_MAX)
    for key, text in list(which.labels.items())[:LABELS_MAX]:
        yield from check_text(f"filter.labels[{key}]", key + text, 2 * TEXT_MAX)
    yield from _few("filter.parameters", len(which.parameters), PATTERNS_MAX)
    if which.parameters and (len(which.types) != 1 or which.types[0].endswith("*")):
        yield FieldViolation(
            "filter.parameters", "A condition on parameters needs exactly one type without *."
        )
    for index, parameter in enumerate(which.parameters[:PATTERNS_MAX]):
        yield from _parameter_violations(f"filter.parameters[{index}]", parameter)


def _parameter_violations(path: str, parameter: ParameterFilter) -> Iterator[FieldViolation]:
    yield from check_text(f"{path}.name", parameter.name, NAME_MAX)
    if parameter.prefix is not None:
        yield from check_text(f"{path}.prefix", parameter.prefix, PARAMETER_TEXT_MAX)
        return
    wrong = [sentence for _, sentence in problems({"_": parameter.equals}, field="", max_depth=DEPTH_MAX)]
    if wrong:
        yield FieldViolation(f"{path}.equals", wrong[0])
    elif isinstance(parameter.equals, str):
        yield from check_text(f"{path}.equals", parameter.equals, PARAMETER_TEXT_MAX)
    else:
        yield from check_text(f"{path}.equals", dumps(parameter.equals), PARAMETER_TEXT_MAX)


def _few(path: str, count: int, most: int) -> Iterator[FieldViolation]:
    if count > most:
        yield FieldViolation(path, f"There are {count} entries; at most {most} are allowed.")


async def understood(which: Filter, types: JobTypes) -> Filter:
    """The filter as the store compares: values of parameters as a submit would store them.

    Raises InvalidArgument for a filter that no query can answer, and what JobTypes.check raises,
    LoaderUnavailable. Of a type that is not known here, such as one that was taken away, values are
    compared as they are given.
    """
    raise_violations(filter_violations(which))
    if not which.parameters or which.types[0] not in types.names:
        return which
    parameters: list[ParameterFilter] = []
    violations: list[FieldViolation] = []
    for index, parameter in enumerate(which.parameters):
        try:
            given = {} if parameter.prefix is not None else {parameter.name: parameter.equals}
            fitted = await types.check(which.types[0], given, whole=False)
        except InvalidParameter as error:
            path = f"filter.parameters[{index}]"
            violations += [FieldViolation(path, description) for _, description in error.fields]
        else:
            equals = fitted.get(parameter.name, parameter.equals)
            parameters.append(replace(parameter, equals=equals))
    raise_violations(violations)
    return replace(which, parameters=tuple(parameters))


def raise_violations(violations: Iterable[FieldViolation]) -> None:
    """Raise InvalidArgument when there are any."""
    if found := list(violations):
        raise InvalidArgument(*found)
