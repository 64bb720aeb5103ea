"""Tables in narrow and wide terminals."""

from headrace.cli.table import Column, layout
from headrace.cli.terminal import clean

ID = "01a200c5-1d85-77aa-94ad-4abff6d848a5"
COLUMNS = (
    Column("ID"),
    Column("STATUS"),
    Column("TYPE", rank=1, cut=True),
    Column("RUN", rank=2, right=True),
)
ROWS = [[ID, "RUNNING", "files.checksum.with.a.long.name", "3.2s"], [ID, "FAILED", "x", ""]]


def lines(width: int | None) -> list[str]:
    """The table as text."""
    return [line.plain for line in layout(COLUMNS, ROWS, width)]


def test_a_pipe_loses_nothing() -> None:
    """Without a terminal every cell is whole and the columns are aligned."""
    title, first, second = lines(None)
    assert first == f"{ID}  RUNNING  files.checksum.with.a.long.name  3.2s"
    assert second == f"{ID}  FAILED   x"
    assert title.index("TYPE") == first.index("files")


def test_a_terminal_cuts_the_least_important_first() -> None:
    """Cells that may be cut are cut first, then whole columns go, and the id stays whole."""
    for width in (80, 70, 60, 50, 46):
        assert all(len(line) <= width for line in lines(width))
        assert all(line.startswith(ID) for line in lines(width)[1:])
    assert "…" in lines(70)[1]
    assert "3.2s" not in lines(55)[1]
    assert lines(20)[1] == f"{ID}  RUNNING"


def test_an_empty_column_is_left_out() -> None:
    """A column that says nothing takes no room."""
    (title, *_) = layout(COLUMNS, [[ID, "RUNNING", "", ""]], None)
    assert title.plain == f"{'ID':36}  STATUS"


def test_text_of_others_is_harmless() -> None:
    """Control characters are shown, not obeyed."""
    assert clean("a\x1b[31mb\rc\n\u202ed") == "a\\x1b[31mb\\rc\\n\\u202ed"
    assert clean("a\nb\tc", lines=True) == "a\nb\tc"
