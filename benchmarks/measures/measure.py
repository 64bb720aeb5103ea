"""One measure: its variants, and what its figures mean."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.runner import Variant


@dataclass(frozen=True)
class Unit:
    """The unit of a figure, and whether more of it is better."""

    text: str
    more_is_better: bool


@dataclass(frozen=True)
class Measure:
    """number: P1 and so on. variants: those to interleave, alive for the length of a block.

    over: the variants whose figures are divided by each other variant's, round by round (for times,
    the other way round: above 1 is better, everywhere). figures: the names of the figures with
    their units. notes: what a reader has to know; a variant that cannot be measured yet is among
    them.
    """

    number: str
    title: str
    figures: dict[str, Unit]
    variants: Callable[[Bench], AbstractContextManager[Sequence[Variant]]]
    over: Sequence[str]
    notes: Sequence[str] = ()
    reach: str = ""


RATE = Unit("/s", more_is_better=True)
MILLISECONDS = Unit("ms", more_is_better=False)
