"""The help of a command: a line or two for each option, in its group, readable at 80 columns.

Typer's own boxes leave a third of a narrow terminal for what an option does, and cut its name.
"""

from typing import Any

import typer.core


class Command(typer.core.TyperCommand):
    """A command whose options stand in groups: an option's rich_help_panel names its own."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        write_parameters(self, ctx, formatter)


def write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the arguments and options of a command, group by group."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
    write_groups(formatter, groups)


def write_groups(formatter: Any, groups: dict[str, list[tuple[str, str]]]) -> None:
    """Write groups of words and what they mean."""
    for title, rows in groups.items():
        with formatter.section(title):
            formatter.write_dl(rows, col_max=26)
