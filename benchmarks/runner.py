"""Rounds, interleaved: every variant once, then every variant again."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Figures = dict[str, float]


class Variant(NamedTuple):
    """One of those that are measured side by side; `run` is one round of it and gives figures by
    name.
    """

    name: str
    run: Callable[[], Figures]


@dataclass
class Measured:
    """All rounds of a measure: by variant, by figure, one value for each round. failed: why a
    variant has none.
    """

    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def interleave(variants: Sequence[Variant], rounds: int) -> Measured:
    """Run A B C A B C …: so many rounds of each.

    A variant that fails is left out of the rounds behind it.
    """
    measured = Measured()
    for number in range(rounds):
        for variant in variants:
            if variant.name not in measured.failed:
                _once(variant, number, measured)
    for name in measured.failed:
        measured.rounds.pop(name, None)
    return measured


def _once(variant: Variant, number: int, measured: Measured) -> None:
    began = time.monotonic()
    try:
        figures = variant.run()
    except Exception as error:  # noqa: BLE001 - the others are measured all the same; the report names it
        measured.failed[variant.name] = f"{type(error).__name__}: {error}"
        print(f"  {variant.name} failed: {error}", file=sys.stderr)
        return
    rows = measured.rounds.setdefault(variant.name, {})
    for name, value in figures.items():
        rows.setdefault(name, []).append(value)
    shown = ", ".join(f"{name} {value:,.3f}" for name, value in figures.items())
    took = time.monotonic() - began
    print(f"  round {number + 1}, {variant.name}: {shown} ({took:.1f} s)", file=sys.stderr, flush=True)
