"""Values of richer types go both ways in one form: as parameters, as results, with annotations and
without.
"""

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from headrace.jobs import JobContext, job
from headrace.testing import run_job
from headrace.values import encode
from headrace_server.work.catalog.signature import JobType


class Colour(enum.Enum):
    """An Enum."""

    RED = "red"


@dataclass
class Size:
    """A dataclass."""

    width: int
    scale: Decimal


class Order(BaseModel):
    """A model, one field of which callers know by another name."""

    order_id: UUID = Field(alias="orderId")
    sizes: list[Size] = []


VALUES: list[tuple[Any, Any, Any]] = [
    (Decimal, Decimal("1.10"), "1.10"),
    (UUID, UUID(int=5), str(UUID(int=5))),
    (Colour, Colour.RED, "red"),
    (Path, Path("a/b"), "a/b"),
    (Size, Size(3, Decimal("0.5")), {"width": 3, "scale": "0.5"}),
    (Order, Order(orderId=UUID(int=5)), {"order_id": str(UUID(int=5)), "sizes": []}),
    (list[Size], [Size(3, Decimal(1))], [{"width": 3, "scale": "1"}]),
    (dict[Colour, set[int]], {Colour.RED: {2, 1}}, {"red": [1, 2]}),
]


def _job(annotation: Any) -> Any:
    @job("give-back")
    def give_back(ctx: JobContext, value: Any) -> Any:
        ctx.set_result("named", value)
        ctx.set_result("type", type(value).__name__)
        return value

    give_back.__annotations__ |= {"value": annotation, "return": annotation}
    return give_back


@pytest.mark.parametrize(("annotation", "value", "form"), VALUES)
def test_both_ways(annotation: Any, value: Any, form: Any) -> None:
    """An annotated job gets the object, and returns it in the form in which it was given."""
    run = run_job(_job(annotation), value=value)
    assert run.error is None
    assert run.result == run.results["named"] == form
    assert run.results["type"] == type(value).__name__


@pytest.mark.parametrize(("annotation", "value", "form"), VALUES)
def test_without_annotations(annotation: Any, value: Any, form: Any) -> None:
    """A job that annotates nothing may return the same objects, and a client may give them."""
    del annotation

    @job("make")
    def make(ctx: JobContext):  # type: ignore[no-untyped-def] # noqa: ANN202 - without annotations
        del ctx
        return value

    assert run_job(make).result == form
    assert run_job(_job(Any), value=value).result == form


@pytest.mark.parametrize(("annotation", "value", "form"), VALUES)
def test_the_check_accepts_what_it_has_made(annotation: Any, value: Any, form: Any) -> None:
    """What is stored of a submit is the form, and fits the signature again in the worker, names of
    fields included.
    """
    check = JobType(_job(annotation).__headrace_job__).check
    stored = check({"value": encode(value)})
    assert stored == {"value": encode(form)}
    assert check(json.loads(json.dumps(stored))) == stored


def test_a_field_by_its_alias() -> None:
    """Callers give a field by its alias."""
    run = run_job(_job(Order), value={"orderId": str(UUID(int=7))})
    assert run.result == {"order_id": str(UUID(int=7)), "sizes": []}


@pytest.mark.parametrize("annotation", [type("Own", (), {}), list[type("Own", (), {})], Callable[[int], int]])
def test_what_cannot_be_carried_is_refused_at_load(annotation: Any) -> None:
    """A return annotation of which nothing can be carried keeps the type from being loaded."""

    @job("refused")
    def refused(ctx: JobContext) -> None:
        del ctx

    refused.__annotations__["return"] = annotation
    with pytest.raises(Exception, match=r"(?i)schema|annotation|type"):
        JobType(refused.__headrace_job__)  # type: ignore[attr-defined] # the mark of @job
