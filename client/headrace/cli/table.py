"""Tables in plain columns: aligned, without lines, no wider than the terminal.

A terminal that is too narrow loses whole columns, the least important first, and then the end of
the widest cell; what is essential, such as a job's id, is never cut. In a pipe nothing is lost.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from shutil import get_terminal_size

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from headrace.cli.terminal import clean, status, write

_GAP = 2
_SHORTEST = 8
"""A column that may be cut keeps this many cells."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    If not all columns fit, the one with the highest rank goes first; rank 0 stays.
    """

    title: str
    rank: int = 0
    right: bool = False
    cut: bool = False
    """Whether its cells may lose their end."""


def write_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Write a table. A column that is empty in every row is left out, unless its rank is 0."""
    cells = [[clean(cell) for cell in row] for row in rows]
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    for line in layout(columns, cells, width):
        write(line)


def layout(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[Text]:
    """The lines of a table that is at most so many cells wide; None: as wide as it needs."""
    widths = [
        max((cell_len(row[place]) for row in rows), default=0) if not column.rank else _filled(rows, place)
        for place, column in enumerate(columns)
    ]
    shown = {
        place: max(cell_len(column.title), widths[place])
        for place, column in enumerate(columns)
        if widths[place] or not column.rank
    }
    if width is not None:
        _fit(columns, shown, width)
    titles = [column.title for column in columns]
    return [_line(columns, shown, row, title=row is titles) for row in [titles, *rows]]


def _filled(rows: Sequence[Sequence[str]], place: int) -> int:
    return max((cell_len(row[place]) for row in rows), default=0)


def _fit(columns: Sequence[Column], shown: dict[int, int], width: int) -> None:
    """Cut cells, then leave out columns, until the rest fits."""

    def excess() -> int:
        return sum(shown.values()) + _GAP * (len(shown) - 1) - width

    while excess() > 0:
        cuttable = [place for place in shown if columns[place].cut and shown[place] > _SHORTEST]
        if cuttable:
            widest = max(cuttable, key=lambda place: shown[place])
            shown[widest] = max(_SHORTEST, shown[widest] - excess())
            continue
        droppable = [place for place in shown if columns[place].rank]
        if not droppable:
            return
        del shown[max(droppable, key=lambda place: columns[place].rank)]


def _line(columns: Sequence[Column], shown: dict[int, int], row: Sequence[str], *, title: bool) -> Text:
    line = Text(style="bold" if title else "")
    last = max(shown)
    for place, width in shown.items():
        column, cell = columns[place], row[place]
        if cell_len(cell) > width and column.cut:
            cell = set_cell_size(cell, width - 1) + "…"
        room = " " * max(width - cell_len(cell), 0)
        if column.right:
            line.append(room)
        line.append_text(status(cell) if column.title == "STATUS" and not title else Text(cell))
        if place != last:
            line.append(" " * _GAP if column.right else room + " " * _GAP)
    line.rstrip()
    return line
