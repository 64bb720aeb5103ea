"""Records of the hot path are what a frozen dataclass is, but for the price of making one."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from headrace_server.domain.hot import hot


@dataclass(frozen=True, slots=True)
class _Slow:
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    count: int = 0


@dataclass(frozen=True, slots=True)
class _SlowMore(_Slow):
    more: tuple[int, ...] = ()


@hot
@dataclass(frozen=True, slots=True)
class _Fast:
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    count: int = 0


@hot
@dataclass(frozen=True, slots=True)
class _FastMore(_Fast):
    more: tuple[int, ...] = ()


@pytest.mark.parametrize(("slow", "fast"), [(_Slow, _Fast), (_SlowMore, _FastMore)])
@pytest.mark.parametrize("given", [("a",), ("a", {"k": "v"}, 5)])
def test_it_has_the_values_of_its_frozen_form(slow: Any, fast: Any, given: tuple[Any, ...]) -> None:
    """By place, by name and by default; equal to its like, and to no other; replaced as every
    dataclass.
    """
    made = fast(*given)
    assert repr(made).replace("Fast", "Slow") == repr(slow(*given))
    assert made == fast(**dict(zip(("name", "labels", "count"), given, strict=False)))
    assert made != replace(made, count=6) == fast("a", made.labels, 6)
    assert fast("a").labels is not fast("a").labels
    with pytest.raises(TypeError, match="name"):
        fast()
    with pytest.raises(AttributeError):
        made.another = 1


def test_it_has_a_hash_as_before() -> None:
    """Equal records have one hash."""
    flat = _Fast("a", "no labels", 5)  # type: ignore[arg-type]
    assert {flat: 1}[_Fast("a", "no labels", 5)] == 1  # type: ignore[arg-type]
