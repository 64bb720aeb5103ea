"""The log: what peers have said makes no line of its own, and moves no cursor."""

import logging
import os
from collections.abc import Iterator

import pytest

from headrace_server import logs
from headrace_server.log_sink import LogSink
from headrace_server.printable import printable

WILD = "x\n2026-01-01T00:00:00Z [info     ] all is well\r\x1b[2J\x1b]0;title\x07\x7f\x85\u2028\u202e\udcff\0"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, given back as it was, and so are those whose level is configured beside it."""
    root = logging.getLogger()
    others = [logging.getLogger(name) for name in ("alembic", "pika", "sqlalchemy", logs.SUCCESSES)]
    handlers, levels = root.handlers[:], [logger.level for logger in (root, *others)]
    yield root
    root.handlers[:] = handlers
    for logger, level in zip((root, *others), levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_others_have_said(root: logging.Logger, form: str) -> None:
    """In a text, a value or an exception: a record is the lines that begin like one or with a mark,
    and each character of them can be printed.
    """
    ours, theirs = os.pipe()
    sink = LogSink(theirs)
    logs.configure("info", form, sink)
    root.info("said %s", WILD)
    root.info("about", extra={"job_id": WILD})
    root.error(WILD, exc_info=RuntimeError(WILD))
    sink.close(10)
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8", newline="\n") as reader:
        lines = reader.read().removesuffix("\n").split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    if form == "json":
        assert [line[0] for line in lines] == ["{"] * 3
    else:
        records = [line for line in lines if not line.startswith("  | ")]
        assert len(records) == 3
        assert not [line for line in records if line.startswith("2026-01-01")]
        assert any("RuntimeError: x" in line for line in lines)


def test_printable() -> None:
    """Text that can be printed stays as it is; of other text each odd character is an escape."""
    assert printable("Grüße, 世界 🚰") == "Grüße, 世界 🚰"
    assert printable("a\tb\n\x1b[0m\u202e") == "a\\tb\\n\\x1b[0m\\u202e"
