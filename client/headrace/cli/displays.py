"""Which display follows a job."""

from headrace.cli.bar import Bar
from headrace.cli.follow import Display
from headrace.cli.lines import Lines
from headrace.cli.terminal import follows_live


def display() -> Display:
    """A bar on a terminal, else lines."""
    return Bar() if follows_live() else Lines()
