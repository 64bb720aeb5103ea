"""The tables of a run, as Markdown: figures with their spread, ratios round by round."""

from collections.abc import Sequence

from benchmarks.figures import Spread, number, ratio, spread
from benchmarks.measures.measure import Measure, Unit
from benchmarks.runner import Measured


def section(measure: Measure, measured: Measured) -> list[str]:
    """A measure: its table, what is to be reached, and its notes."""
    over = [name for name in measure.over if name in measured.rounds]
    heads = [_head(name, unit) for name, unit in measure.figures.items()]
    heads += [f"{one} over it: {name}" for one in over for name in measure.figures]
    lines = [f"## {measure.number}: {measure.title}", ""]
    if measure.reach:
        lines += [f"To reach: {measure.reach}.", ""]
    lines += ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    lines += [_row(name, measure, measured, over) for name in measured.rounds]
    lines += [f"| {name} | could not be measured: {_cell(why)} |" for name, why in measured.failed.items()]
    lines += ["", *(f"- {note}" for note in measure.notes)]
    return [*lines, ""]


def _head(name: str, unit: Unit) -> str:
    return f"{name}, {unit.text}" if unit.text else name


def _row(name: str, measure: Measure, measured: Measured, over: Sequence[str]) -> str:
    own = measured.rounds[name]
    cells = [_shown(spread(own[figure])) if figure in own else "-" for figure in measure.figures]
    for one in over:
        for figure, unit in measure.figures.items():
            others = measured.rounds[one]
            if one == name or figure not in own or figure not in others:
                cells.append("-")
            elif unit.more_is_better:
                cells.append(_shown(ratio(others[figure], own[figure])))
            else:
                cells.append(_shown(ratio(own[figure], others[figure])))
    return f"| {name} | " + " | ".join(cells) + " |"


def _shown(found: Spread) -> str:
    return f"{number(found.median)} ({number(found.least)} to {number(found.most)})"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:300]
