"""Summarizes what a type takes and how it is run.

The summary is the same in every process that has loaded the same source.

A server and its workers load a module each for itself, and at different times. Where the source has
changed between them, or depends on where it is loaded, a worker has another version of a type than
the server checks parameters for. These tell.

    takes      parameters by name, whether each is required, what is annotated. Not what the default is: the server stores
               that, and `since: float = time.time()` differs in each process
    settings   attempts, waits, timeout, workspace, fresh, concurrency

Nothing here may differ by the process alone: no address, no order of a set, no value that is made
at the import. And no pydantic, which workers do not import: a model is known by its annotations.
"""

import hashlib
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Annotated, Any, Final, Literal, NamedTuple

from headrace._work.definition import JobDefinition

_LENGTH: Final = 12
_DEPTH_MAX: Final = 20
_PLAIN: Final = (str, bytes, bool, int, float, type(None))


class Fingerprint(NamedTuple):
    """Two short texts."""

    takes: str
    settings: str


def fingerprint(definition: JobDefinition) -> Fingerprint:
    """The fingerprint of a type. Raises what reading its signature raises."""
    signature = definition.signature
    takes = [
        f"{name}{'' if name in signature.required else '?'}: {_words(given.annotation, ())}"
        for name, given in sorted(signature.parameters.items())
    ]
    takes.append(f"**{_words(signature.extra, ())}")
    settings = (
        definition.retry_policy,
        definition.attempt_timeout,
        definition.workspace,
        definition.fresh,
        definition.concurrency,
    )
    return Fingerprint(_digest(takes), _digest(map(repr, settings)))


def _digest(parts: Iterable[str]) -> str:
    text = "\n".join(parts).encode("utf-8", "backslashreplace")
    return hashlib.blake2b(text).hexdigest()[:_LENGTH]


def _words(annotation: Any, inside: tuple[Any, ...]) -> str:
    """Return an annotation in words.

    inside: the classes in which it was met, since a model may hold itself.
    """
    try:
        return "…" if len(inside) > _DEPTH_MAX else _of(annotation, inside)
    except Exception:  # noqa: BLE001 - code of the job's own types
        return "?"


def _of(annotation: Any, inside: tuple[Any, ...]) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        base, *more = arguments
        return f"{_words(base, inside)}({_list(map(_constraint, more))})"
    if origin is Literal:
        return f"Literal[{_list(sorted(map(repr, filter(_is_plain, arguments))))}]"
    if origin is not None:
        return f"{_name(origin)}[{_list(_words(one, inside) for one in arguments)}]"
    if isinstance(annotation, list):  # the parameters of a Callable
        return f"[{_list(_words(one, inside) for one in annotation)}]"
    if isinstance(annotation, type):
        return _class(annotation, inside)
    return annotation if isinstance(annotation, str) else _name(annotation)


def _class(kind: type, inside: tuple[Any, ...]) -> str:
    if issubclass(kind, Enum):
        return f"{_name(kind)}({_list(member.name for member in kind)})"
    if kind in inside:
        return _name(kind)
    fields = _list(_fields(kind, (*inside, kind)))
    return f"{_name(kind)}({fields})" if fields else _name(kind)


def _fields(kind: type, inside: tuple[Any, ...]) -> Iterator[str]:
    """Yield the annotations of a class and its bases.

    They are the fields of a dataclass, a TypedDict or a model.
    """
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] not in ("builtins", "typing", "pydantic", "enum"):
            for name, annotation in sorted(vars(base).get("__annotations__", {}).items()):
                yield f"{name}: {_words(annotation, inside)}"


def _constraint(one: Any) -> str:
    """Return the text of a constraint beside a type: its class and its plain values."""
    names = {*getattr(one, "__dict__", ()), *_slots(type(one))}
    values = ((name, _value(getattr(one, name, None))) for name in sorted(names))
    return f"{_name(type(one))}({_list(f'{name}={value}' for name, value in values if value)})"


def _value(value: Any) -> str:
    if _is_plain(value):
        return repr(value)
    return f"[{_list(map(_constraint, value))}]" if isinstance(value, list | tuple) else ""


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN)


def _name(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    return f"{getattr(thing, '__module__', '')}.{name}" if name else type(thing).__name__


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
