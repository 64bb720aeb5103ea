"""Converts parameters and results of richer types, by pydantic.

Examples are an Enum, a dataclass, a model, a UUID and a Path.

Imported by name, and only for signatures that need it: jobs with plain annotations work without
pydantic. The server checks every call with the same code and stores what it made of it as plain
values; the worker makes the objects again from those.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from headrace._carried import Whole
from headrace._richer import simpler

_CARRIED = (bool, int, float, str, bytes, bytearray, date, timedelta)

Problem = tuple[str, str]
"""Where, such as `sizes[3]`, and a sentence."""


def parse(annotation: Any, value: Any) -> Any:
    """A value as an annotation wants it. Raises pydantic.ValidationError, which is a ValueError."""
    return TypeAdapter(annotation).validate_python(value)


class Adapter(Protocol):
    """An object that validates and dumps one parameter, as a pydantic.TypeAdapter does."""

    def validate_python(self, value: Any, /, *, by_alias: bool, by_name: bool) -> Any:
        """The value as it is wanted, its fields by these names. Raises pydantic.ValidationError."""
        ...

    def dump_python(self, value: Any, /, *, warnings: bool) -> Any:
        """The value, taken apart."""
        ...


class Conversion:
    """The adapters of parameters, more for those that are not declared.

    as_given: the parameters that are not to be dumped, more_as_given says so of the others:
    pydantic would take apart a Reference that Any let in.
    """

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        more: Adapter | None,
        *,
        as_given: Collection[str],
        more_as_given: bool,
    ) -> None:
        self.adapters = adapters
        self.extra = more
        self._as_given = as_given
        self._more_as_given = more_as_given

    def adapter(self, name: str) -> Adapter:
        """The adapter of a parameter, declared or not."""
        return self.adapters.get(name) or self.extra  # type: ignore[return-value] # misfits were refused before

    def validate(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """The parameters as the function wants them, and what is wrong with the others."""
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, value in given.items():
            try:
                # By alias from callers; by name from what was stored, which is dumped so.
                values[name] = self.adapter(name).validate_python(value, by_alias=True, by_name=True)
            except ValidationError as error:
                problems.extend(_problem(name, value, detail) for detail in error.errors(include_url=False))
        return values, problems

    def dump(self, name: str, value: Any) -> Any:
        """A parameter that was validated, as a value that `headrace.values.encode` takes."""
        if name in self._as_given or (self._more_as_given and name not in self.adapters):
            return value
        return simplify(self.adapter(name).dump_python(value, warnings=False))


class Coercion(Conversion):
    """A signature as pydantic reads it, given by its annotations.

    more: that of parameters which are not declared, None when there may be none. Raises
    pydantic.PydanticUserError for an annotation that it cannot handle.
    """

    adapters: Mapping[str, TypeAdapter[Any]]
    extra: TypeAdapter[Any] | None

    def __init__(
        self,
        parameters: Mapping[str, Any],
        more: Any,
        result: Any,
        *,
        as_given: Collection[str],
        more_as_given: bool,
    ) -> None:
        super().__init__(
            {name: TypeAdapter(annotation) for name, annotation in parameters.items()},
            None if more is None else TypeAdapter(more),
            as_given=as_given,
            more_as_given=more_as_given,
        )
        self.result: TypeAdapter[Any] = TypeAdapter(result)

    def dump_result(self, value: Any) -> Any:
        """Return the result of the job as a value that `headrace.values.encode` takes."""
        return simplify(self.result.dump_python(value, warnings=False))


def simplify(value: Any) -> Any:
    """Return a value that pydantic dumped, with its remaining richer types in their JSON form.

    For example, a UUID becomes text.
    """
    if isinstance(value, Whole):
        return value.value
    if value is None or isinstance(value, _CARRIED):
        return value
    if isinstance(value, Mapping):
        return {_key(key): simplify(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [simplify(item) for item in value]
    richer = simpler(value)
    if richer is not NotImplemented:
        return simplify(richer)
    return to_jsonable_python(value, fallback=lambda unknown: unknown)


def _key(key: Any) -> Any:
    return key if type(key) is str else str(to_jsonable_python(key))


def _problem(name: str, value: Any, detail: Any) -> Problem:
    """Return where in the value a problem lies, and the sentence in which pydantic describes it.

    The path goes as far as the caller can see it.
    """
    path, rest = name, list(detail["loc"])
    while rest and _has(value, rest[0]):
        part = rest.pop(0)
        value = value[part]
        path += f"[{part}]"
    words = ".".join(str(part) for part in rest)  # a field that is missing, or one arm of a union
    sentence = f"{words}: {detail['msg']}" if words else str(detail["msg"])
    return path, sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def _has(value: Any, part: Any) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, Sequence) and isinstance(part, int) and part < len(value)
