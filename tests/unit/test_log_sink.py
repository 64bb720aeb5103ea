"""A line of the log waits for nobody who reads it, and nobody waits for a line of the log."""

import os
from collections.abc import Iterator

import pytest

from headrace_server.log_sink import LogSink
from support.server import until

FULL = 1 << 16
"""What a pipe takes."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe."""
    ours, theirs = os.pipe()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def read(fd: int, until: bytes) -> bytes:
    """What a pipe has, to a text."""
    found = b""
    while until not in found:
        found += os.read(fd, FULL)
    return found


def test_lines_come_out_in_order(pipe: tuple[int, int]) -> None:
    """Lines are written in the order in which they were put, whatever characters are in them, and
    all of them before close.
    """
    sink = LogSink(pipe[1])
    for number in range(100):
        sink.put(f"line {number} é \udcff")
    sink.close(10)
    assert read(pipe[0], b"line 99").decode().splitlines() == [
        f"line {number} é \\udcff" for number in range(100)
    ]
    assert sink.dropped == 0


def test_nobody_reads(pipe: tuple[int, int]) -> None:
    """On a pipe that nobody reads nothing waits: what has no room is dropped and counted, and told
    once there is a reader; the descriptor stays blocking.
    """
    os.write(pipe[1], b"\n" * FULL)
    sink = LogSink(pipe[1], room=5000)
    sink.tell = lambda count: f"dropped {count}"
    sink.put("first")
    until(lambda: not sink._idle and not sink._lines, "it is being written, for which there is no room")
    for number in range(120):
        sink.put(f"{number:099}")
    assert sink.dropped == 70
    kept = [f"{number:099}" for number in range(50)]
    written = read(pipe[0], f"{kept[-1]}\n".encode()).decode().lstrip().splitlines()
    assert written == ["first", "dropped 70", *kept]
    assert sink.dropped == 70
    assert os.get_blocking(pipe[1])
    sink.close(10)


def test_an_end_that_is_not_waited_for(pipe: tuple[int, int]) -> None:
    """Close gives up on a pipe that nobody reads when its time is over, and what is put later is
    dropped.
    """
    sink = LogSink(pipe[1])
    sink.put("x" * FULL * 2)
    sink.close(0.01)
    sink.put("later")
    assert sink.dropped == 1
    os.read(pipe[0], FULL)  # lets the thread go
    while b"x" * 10 in os.read(pipe[0], FULL * 2):
        if sink._idle:
            break


def test_a_reader_that_has_gone() -> None:
    """Lines for a reader that is not there any more are counted, and no error comes of them."""
    ours, theirs = os.pipe()
    os.close(ours)
    sink = LogSink(theirs)
    sink.put("line")
    sink.close(10)
    assert sink.dropped >= 1
    os.close(theirs)


def test_a_descriptor_that_another_has_made_non_blocking(pipe: tuple[int, int]) -> None:
    """Where a process that shares the descriptor has made it non-blocking, every line is written
    all the same.
    """
    os.set_blocking(pipe[1], False)
    sink = LogSink(pipe[1])
    for number in range(2 * FULL // 100):
        sink.put(f"{number:099}")
    sink.put("last")
    assert len(read(pipe[0], b"last").splitlines()) == 2 * FULL // 100 + 1
    sink.close(10)
    assert sink.dropped == 0
