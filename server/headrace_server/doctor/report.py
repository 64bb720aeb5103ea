"""Write the doctor's findings: a line for each as it comes, or data for machines."""

from collections.abc import Iterable

from rich.text import Text

from headrace.cli.form import Form
from headrace.cli.output import Output
from headrace.cli.record import Record
from headrace.cli.terminal import clean, write
from headrace_server.doctor.finding import Finding, Level

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}
_WIDTH = max(map(len, Level))


def show(findings: Iterable[Finding], form: Form) -> set[Level]:
    """Write the findings; answer which levels there were."""
    levels: set[Level] = set()

    def seen() -> Iterable[Finding]:
        for finding in findings:
            levels.add(finding.level)
            yield finding

    if form is Form.TABLE:
        for finding in seen():
            write(_line(finding))
    else:
        Output(form).many(Record("finding", one.level, one._asdict()) for one in seen())
    return levels


def _line(finding: Finding) -> Text:
    level = Text(finding.level.ljust(_WIDTH), _STYLES[finding.level])
    return Text.assemble(level, f"  {finding.subject}: {clean(finding.text)}")
