"""headrace_server.work.catalog.portable: the schemas that travel to the server, and those that stay
with the code of the jobs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from headrace.values import File, Reference
from headrace_server.work.catalog.portable import PlainAdapter, portable_or_none
from headrace_server.work.catalog.signature import _travelling

VALUES = [
    None, True, 0, 3, -1, 2.5, "", "3", "a", "text", "red", "PT1M", "2026-01-02", b"\0", [], [1, "2"], ["a"], {}, {"a": 1},
    {"kind": "a", "id": "b"}, {"uri": "x", "size": 3}, Reference("a", "b"), File("u"), [File("u"), {"uri": "v"}],
    date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC), timedelta(seconds=3), "00000000-0000-0000-0000-000000000003", "1.50",
    "https://example.com/x", 2**70, [[1, 2], [3, 4]], {"x": [File("u"), File("v")]},
]  # fmt: skip


class Colour(Enum):
    """A class of a job."""

    RED = "red"


class Model(BaseModel):
    """Another."""

    n: int


@dataclass
class Data:
    """A third."""

    n: int


PORTABLE: list[Any] = [
    int, float, bool, str, bytes, date, datetime, timedelta, Decimal, UUID, Any, object, None, list, dict,
    list[int], set[int], frozenset[str], tuple[int, ...], tuple[int, str], dict[str, int], dict[int, date], Mapping[str, float],
    Sequence[int], Sequence[str] | None, dict[str, Sequence[int]], int | str, int | None, Literal["a", 3], Reference, File | None,
    list[File], dict[str, tuple[File, File]], tuple[Reference, Reference],
    Annotated[int, Field(gt=0, le=10)], Annotated[str, Field(pattern="^a+$", max_length=3)], Annotated[list[int], Field(min_length=1)],
]  # fmt: skip

WITH_CODE: list[Any] = [
    Colour, Model, Data, list[Colour], dict[str, Model], Data | None, Literal[Colour.RED], Path,
    Annotated[int, AfterValidator(abs)], Annotated[timedelta, Field(gt=timedelta(seconds=1))],
]  # fmt: skip


def _made(adapter: Any, value: Any) -> Any:
    """What an adapter makes of a value: it and its dump, or what is wrong with it."""
    try:
        made = adapter.validate_python(value)
        return type(made), repr(made), repr(adapter.dump_python(made, warnings=False))
    except ValidationError as error:
        return [(detail["loc"], detail["type"]) for detail in error.errors()]
    except (PydanticSerializationError, OverflowError) as error:
        return type(error)


@pytest.mark.parametrize("annotation", PORTABLE, ids=str)
def test_a_schema_that_travels_says_the_same(annotation: Any) -> None:
    """Through JSON and back it takes, refuses, converts and dumps every value as the annotation
    itself does.
    """
    itself = TypeAdapter(annotation)
    form = portable_or_none(_travelling(annotation, itself))
    assert form is not None
    there = PlainAdapter(json.loads(json.dumps(form)))
    sequence = "Sequence" in str(annotation)  # as a list: another word for what is refused
    for value in VALUES:
        one, other = _made(itself, value), _made(there, value)
        if sequence and isinstance(one, list):
            assert isinstance(other, list), value
        else:
            assert _same(one) == _same(other), value


def _same(made: Any) -> Any:
    """Without where an object lies in memory."""
    return (
        [part if "object at" not in str(part) else "object" for part in made]
        if isinstance(made, tuple)
        else made
    )


@pytest.mark.parametrize("annotation", WITH_CODE, ids=str)
def test_a_schema_with_code_stays(annotation: Any) -> None:
    """Classes of a job, callables and values that are no JSON do not travel: the loader is asked."""
    assert portable_or_none(_travelling(annotation, TypeAdapter(annotation))) is None
