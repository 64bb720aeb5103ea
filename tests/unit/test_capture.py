"""work.pool.output.Capture: lines without an end, and lines that are written over."""

import pytest

from headrace_server.work.pool.output import Capture, OutputLimits

OUT = 2


def _capture(size: int = 1000) -> Capture:
    return Capture(OutputLimits(size, 1000))


def _texts(capture: Capture, data: bytes) -> list[str]:
    return [message.text for message in capture.take(OUT, data)[0]]


def _shown(capture: Capture) -> list[str]:
    return [message.text for message in capture.show()]


def test_a_line_is_shown_in_parts_and_nothing_twice() -> None:
    """What was shown of a line does not come again with its end, and an end alone is no message."""
    capture = _capture()
    assert _texts(capture, b"one\nwork") == ["one"]
    assert _shown(capture) == ["work"]
    assert _shown(capture) == []
    assert _texts(capture, b"ing\n\n") == ["ing", ""]
    assert _texts(capture, b"dots") == []
    assert _shown(capture) == ["dots"]
    assert _texts(capture, b"\n") == []
    assert capture.end() == []


def test_the_last_state_of_a_bar_counts() -> None:
    """Of what carriage returns write over the last state is shown, in front of or behind which they
    stand, and each once.
    """
    capture = _capture()
    assert _texts(capture, b"\r1 %\r2 %\r3 %") == []
    assert _shown(capture) == ["3 %"]
    assert _texts(capture, b"\r3 %") == []
    assert _shown(capture) == []
    assert _texts(capture, b"\r4 %\r5 %\r") == []
    assert _shown(capture) == ["5 %"]
    assert _texts(capture, b"\r100 %\r\n") == ["100 %"]
    assert _texts(capture, b"as on other systems\r\n") == ["as on other systems"]


def test_no_character_is_cut() -> None:
    """A character of which a part has come is shown when it is whole."""
    capture = _capture()
    euro = "€".encode()
    assert _texts(capture, b"5 " + euro[:2]) == []
    assert _shown(capture) == ["5 "]
    assert _texts(capture, euro[2:] + b"\n") == ["€"]


def test_a_long_bar_keeps_its_budget_and_a_flood_of_states_does_not() -> None:
    """States that are written over count little, so a long bar is not cut, and a flood of them is
    at last.
    """
    capture = _capture(size=1000)
    for _ in range(1000):
        _texts(capture, b"\r" + b"#" * 20)
    assert not capture.full
    for _ in range(10_000):
        _texts(capture, b"\r" + b"#" * 20)
    assert capture.full


def test_lines_are_shown_ever_more_seldom() -> None:
    """The wait grows with the number of times that the run's lines were shown in part."""
    capture = _capture(size=100_000)
    waits = []
    for number in range(300):
        _texts(capture, b"\r%d" % number)
        waits.append(capture.show_after)
        capture.show()
    assert waits[0] == 0.5
    assert waits[-1] == pytest.approx(299 * 0.005)
    assert capture.show_after is None
