"""The simpler forms in which values of richer types are carried.

This is the only place that defines them, for parameters and for results.

    Enum                             its value
    Decimal, UUID, Path              text, as str() gives it; time as isoformat() gives it
    dataclass, pydantic model        a map by the names of its fields
    set, frozenset                   a list, sorted where its items can be
    numpy scalar, numpy array        the Python number, a list of lists

One way only: the type is not carried along. Where a signature names it, the worker makes the object
again from this form, and a caller reads the form.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID


def _listed(items: Any) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:
        return list(items)


_SIMPLER: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: value.value),
    (Decimal, str),
    (UUID, str),
    (PurePath, str),
    (time, time.isoformat),
    (set, _listed),
    (frozenset, _listed),
)


def simpler(value: Any) -> Any:
    """Return the next simpler form of a value.

    Returns NotImplemented for a type of none of these kinds. The items inside the value may still
    be of richer types.
    """
    kind = type(value)
    for known, simplify in _SIMPLER:
        if isinstance(value, known):
            return simplify(value)
    if is_dataclass(value):
        return NotImplemented if isinstance(value, type) else _by_name(value)
    if callable(getattr(kind, "model_dump", None)) and hasattr(kind, "__pydantic_core_schema__"):
        return value.model_dump()
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(kind, "tolist"):
        return _python_number(value)
    return NotImplemented


def _python_number(value: Any) -> Any:
    """Return the Python form that numpy gives its scalar or array.

    Returns NotImplemented where Python has no type that is as fine.

    A time in nanoseconds would come as a bare number of them, which nobody could tell from any
    other.
    """
    number = value.tolist()
    if type(number) is type(value):
        return NotImplemented
    if getattr(value, "dtype", None) is not None and value.dtype.kind in "mM":
        times = value.ravel().tolist() if isinstance(number, list) else [number]
        if any(isinstance(time, int) for time in times):
            return NotImplemented
    return number


def _by_name(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
