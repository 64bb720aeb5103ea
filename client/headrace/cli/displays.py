"""Which display follows a job."""

from headrace.cli.bar import Bar
from headrace.cli.follow import Display
from headrace.cli.json_lines import JsonLines
from headrace.cli.output import Output
from headrace.cli.plain import Lines
from headrace.cli.terminal import follows_live


def display(output: Output) -> Display:
    """Return the display for an output.

    It writes lines of JSON to stdout for -o jsonl; otherwise it shows a bar on a terminal, and
    lines elsewhere, on stderr.
    """
    if output.streams:
        return JsonLines()
    return Bar() if follows_live() else Lines()
