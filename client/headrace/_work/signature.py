"""Reads what a job's function declares about its parameters and its result."""

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from headrace.values import File, Reference

REQUIRED: Final = inspect.Parameter.empty
"""The default of a parameter that has none."""

_PLAIN = (None, type(None), bool, int, float, str, bytes, date, datetime, timedelta, list, dict)
_PLAIN_TYPES = frozenset[Any]({*_PLAIN, Any, object, Reference, File, Sequence, Mapping})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared parameter. annotation is Any where there is none, default REQUIRED."""

    name: str
    annotation: Any
    default: Any


@dataclass(frozen=True)
class Signature:
    """The parameters of a job and its result.

    extra is the annotation of those that are not declared, None when there may be none; by_keyword
    says whether the function takes them as `**kwargs`, or reads them with ctx.param. result is
    REQUIRED where nothing is said.
    """

    parameters: Mapping[str, Parameter]
    extra: Any
    by_keyword: bool
    result: Any

    @cached_property
    def required(self) -> frozenset[str]:
        """The parameters without a default."""
        return frozenset(name for name, given in self.parameters.items() if given.default is REQUIRED)

    @cached_property
    def plain(self) -> bool:
        """Whether decoded values are already what the function wants."""
        wanted = [given.annotation for given in self.parameters.values()]
        return all(map(is_plain, wanted)) and is_plain(self.extra)

    @cached_property
    def plain_result(self) -> bool:
        """Whether what is returned needs no help to become a value."""
        return self.result is REQUIRED or is_plain(self.result)

    @cached_property
    def coercion(self) -> Any:
        """The headrace._work.coerce.Coercion of this signature.

        Raises ImportError when pydantic is not installed.
        """
        annotations = {name: given.annotation for name, given in self.parameters.items()}
        return coerce_module().Coercion(
            annotations,
            self.extra,
            Any if self.result is REQUIRED else self.result,
            as_given={name for name, annotation in annotations.items() if is_plain(annotation)},
            more_as_given=is_plain(self.extra),
        )

    def misfits(self, names: Sequence[str], *, whole: bool = True) -> dict[str, str]:
        """Return a sentence for each name that is missing or not declared.

        whole: whether the names are all that is given; only then is a name missing.
        """
        needed = self.required - set(names) if whole else ()
        wrong = {name: "It is required." for name in self.parameters if name in needed}
        if self.extra is None:
            known = ", ".join(self.parameters) or "none"
            unknown = [name for name in names if name not in self.parameters]
            wrong |= dict.fromkeys(unknown, f"There is no such parameter; those there are: {known}.")
        return wrong


def coerce_module() -> types.ModuleType:
    """Return the module headrace._work.coerce.

    Raises ImportError when pydantic is not installed, which only richer annotations need.
    """
    # By name and late: jobs with plain annotations never import pydantic.
    return importlib.import_module("headrace._work.coerce")


def is_plain(annotation: Any) -> bool:
    """Return whether `headrace.values.decode` gives what the annotation asks for.

    That holds once the server has checked the value.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return all(type(value) in _PLAIN_TYPES for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return all(map(is_plain, arguments))
    if origin in (list, Sequence):
        return all(map(is_plain, arguments))
    if origin in (dict, Mapping):
        return arguments[0] in (str, Any) and is_plain(arguments[1])
    try:
        return annotation in _PLAIN_TYPES
    except TypeError:  # an annotation that cannot be hashed
        return False


def read_signature(function: Callable[..., Any], *, is_class: bool) -> Signature:
    """Return the signature of a job.

    Raises TypeError for one that no job can have, and NameError for an unknown annotation.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("a job returns its result, it does not yield")
    hints = typing.get_type_hints(function, include_extras=True)
    declared = list(inspect.signature(function).parameters.values())[1 if is_class else 0 :]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not declared or declared[0].kind not in positional:
        raise TypeError("the first parameter of a job is its context: def f(ctx, …)")
    parameters: dict[str, Parameter] = {}
    # A class whose run has ctx alone declares nothing, and reads what it is given with ctx.param.
    extra: Any = Any if is_class and len(declared) == 1 else None
    by_keyword = False
    for given in declared[1:]:
        annotation = hints.get(given.name, Any)
        if given.kind is inspect.Parameter.VAR_KEYWORD:
            extra, by_keyword = annotation, True
        elif given.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL):
            raise TypeError(f"parameter {given.name} cannot be given by name")
        else:
            parameters[given.name] = Parameter(given.name, annotation, given.default)
    return Signature(parameters, extra, by_keyword, hints.get("return", REQUIRED))
