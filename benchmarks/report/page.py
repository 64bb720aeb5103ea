"""The tables of a run, as Markdown: figures with their spread, ratios round by round."""

from collections.abc import Sequence

from benchmarks.figures import Spread, number, ratio, spread
from benchmarks.measures.measure import Measure, Unit
from benchmarks.runner import Measured


def section(measure: Measure, measured: Measured) -> list[str]:
    """A measure: its table, what is to be reached, and its notes."""
    over = [name for name in measure.over if name in measured.rounds]
    lines = [f"## {measure.number}: {measure.title}", ""]
    if measure.reach:
        lines += [f"To reach: {measure.reach}.", ""]
    lines += _header([_head(name, unit) for name, unit in measure.figures.items()])
    lines += [_row(name, measure, measured) for name in measured.rounds]
    lines += [f"| {name} | could not be measured: {_cell(why)} |" for name, why in measured.failed.items()]
    for one in over:
        lines += _ratios(one, measure, measured)
    lines += ["", *(f"- {note}" for note in measure.notes)]
    return [*lines, ""]


def _header(heads: Sequence[str]) -> list[str]:
    return ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]


def _ratios(one: str, measure: Measure, measured: Measured) -> list[str]:
    """How many times as good one is as each other."""
    lines = ["", f"How many times as good as each other: {one}", "", *_header(list(measure.figures))]
    for name in measured.rounds:
        if name != one:
            cells = [_times(one, name, figure, measure, measured) for figure in measure.figures]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _head(name: str, unit: Unit) -> str:
    return f"{name}, {unit.text}" if unit.text else name


def _row(name: str, measure: Measure, measured: Measured) -> str:
    own = measured.rounds[name]
    cells = [_shown(spread(own[figure])) if figure in own else "-" for figure in measure.figures]
    return f"| {name} | " + " | ".join(cells) + " |"


def _times(one: str, other: str, figure: str, measure: Measure, measured: Measured) -> str:
    mine, theirs = measured.rounds[one].get(figure), measured.rounds[other].get(figure)
    if not mine or not theirs:
        return "-"
    more = measure.figures[figure].more_is_better
    return _shown(ratio(mine, theirs) if more else ratio(theirs, mine))


def _shown(found: Spread) -> str:
    return f"{number(found.median)} ({number(found.least)} to {number(found.most)})"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:300]
