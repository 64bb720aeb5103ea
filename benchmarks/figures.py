"""Statistics of rounds: pure functions."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Rounds = Mapping[str, Sequence[float]]
"""The figures of a variant by name, one value for each round."""


class Spread(NamedTuple):
    """The median of some rounds, the least and the most."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """That of some rounds; at least one."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(values: Sequence[float], others: Sequence[float]) -> Spread:
    """The values over the others, round by round: what slows a whole round slows both."""
    return spread([value / other for value, other in zip(values, others, strict=True)])


def quantile(values: Sequence[float], part: float) -> float:
    """The value that this part of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def number(value: float) -> str:
    """A figure with three digits that say something."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004 - three digits
