"""benchmarks: the statistics of rounds, their interleaving, and the page that is made of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.figures import Spread, number, quantile, ratio, spread
from benchmarks.load.clock import Clock
from benchmarks.measures.measure import MILLISECONDS, RATE, Measure
from benchmarks.report import page
from benchmarks.runner import Figures, Variant, interleave


def test_a_spread_is_the_median_the_least_and_the_most() -> None:
    """Of an even number of rounds the median lies between the two in the middle."""
    assert spread([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    """A round that slowed both does not change the ratio."""
    assert ratio([100.0, 10.0, 60.0], [50.0, 5.0, 20.0]) == Spread(2.0, 2.0, 3.0)


def test_a_quantile_is_one_of_the_values() -> None:
    """The median of an odd number is the middle, and p99 of few is the largest."""
    assert (quantile([3.0, 1.0, 2.0], 0.5), quantile([3.0, 1.0, 2.0], 0.99)) == (2.0, 3.0)


def test_figures_are_shown_with_three_digits() -> None:
    """Large ones without decimals, small ones with two."""
    assert [number(value) for value in (12345.6, 99.96, 1.234)] == ["12,346", "100.0", "1.23"]


def test_variants_take_turns_and_one_that_fails_is_left_out() -> None:
    """A B A B, and the other goes on when one has failed, whose sentence is kept."""
    order: list[str] = []

    def once(name: str) -> Callable[[], Figures]:
        def run() -> Figures:
            order.append(name)
            if order.count("B") == 2 and name == "B":
                raise RuntimeError("no service")
            return {"x": float(len(order))}

        return run

    measured = interleave([Variant("A", once("A")), Variant("B", once("B"))], 3)
    assert order == ["A", "B", "A", "B", "A"]
    assert measured.rounds == {"A": {"x": [1.0, 3.0, 5.0]}}
    assert measured.failed == {"B": "RuntimeError: no service"}


def measure(unit: str) -> Measure:
    """One whose variants are made elsewhere."""
    units = {"rate": RATE, "time": MILLISECONDS}
    return Measure(
        "P0", "Nothing", {unit: units[unit]}, lambda _bench: pytest.fail("not run"), over=("ours",)
    )  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(("unit", "theirs"), [("rate", 50.0), ("time", 200.0)])
def test_above_one_is_better_for_rates_and_for_times(unit: str, theirs: float) -> None:
    """Who does twice as much in a second, or takes half as long, is shown as 2."""
    measured = interleave(
        [Variant("ours", lambda: {unit: 100.0}), Variant("theirs", lambda: {unit: theirs})], 2
    )
    lines = page.section(measure(unit), measured)
    figures, ratios = [line for line in lines if line.startswith("| theirs")]
    assert figures.startswith(f"| theirs | {number(theirs)} (")
    assert ratios == "| theirs | 2.00 (2.00 to 2.00) |"


def test_a_variant_that_failed_has_its_reason_in_the_table() -> None:
    """The page names why there is no figure."""

    def fail() -> Figures:
        raise RuntimeError("there is\nno | broker")

    lines = page.section(measure("rate"), interleave([Variant("theirs", fail)], 1))
    assert "| theirs | could not be measured: RuntimeError: there is no / broker |" in lines


def test_a_clock_counts_the_runs_that_others_see(tmp_path: Path) -> None:
    """What one note writes, another clock on the same page reads."""
    mine, theirs = Clock(tmp_path / "clock"), Clock(tmp_path / "clock")
    mine.note()
    mine.note()
    runs = theirs.runs()
    assert runs.count == 2
    assert 0 < runs.first <= runs.last
