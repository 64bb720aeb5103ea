"""The picture of a run: for each measure with peers, bars of medians with their spread."""

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import spread
from benchmarks.measures.measure import Measure
from benchmarks.runner import Measured

OURS, THEIRS = "#2a6f97", "#b0b8bf"


def drawn(found: Sequence[tuple[Measure, Measured]]) -> bytes:
    """An SVG; the same figures give the same bytes."""
    mpl.rcParams["svg.hashsalt"] = "headrace"
    shown = [
        (measure, figure, measured)
        for measure, measured in found
        for figure in measure.figures
        if measured.rounds
    ]
    made = Figure(figsize=(9, 2.4 * max(1, len(shown))), layout="constrained")
    for axes, (measure, figure, measured) in zip(
        made.subplots(max(1, len(shown)), 1, squeeze=False).flat, shown, strict=False
    ):
        _bars(axes, measure, figure, measured)
    out = io.BytesIO()
    made.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _bars(axes: Axes, measure: Measure, figure: str, measured: Measured) -> None:
    rows = [(name, spread(rounds[figure])) for name, rounds in measured.rounds.items() if figure in rounds]
    rows.reverse()  # the first on top
    medians = [found.median for _, found in rows]
    errors = [
        [found.median - found.least for _, found in rows],
        [found.most - found.median for _, found in rows],
    ]
    colours = [OURS if name.startswith("Headrace") else THEIRS for name, _ in rows]
    axes.barh([name for name, _ in rows], medians, xerr=errors, color=colours)
    unit = measure.figures[figure]
    better = "more is better" if unit.more_is_better else "less is better"
    axes.set_title(f"{measure.number}: {measure.title}: {figure}, {unit.text} ({better})", fontsize=9)
    axes.tick_params(labelsize=8)
