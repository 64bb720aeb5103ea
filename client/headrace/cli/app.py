"""Assembles the commands, and reports their failures.

A failure is one line on stderr and an exit code, never a traceback.
"""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from headrace.cli.bulk import purge, stop_jobs, update_jobs
from headrace.cli.changing import delete, release, stop, update
from headrace.cli.following import wait, watch
from headrace.cli.gates import gates, limit, pause, queues, resume, tenants
from headrace.cli.help import Command, write_groups, write_parameters
from headrace.cli.interrupts import INTERRUPTED
from headrace.cli.reading import count, events, get, list_
from headrace.cli.serving import health, info, instances, types, version
from headrace.cli.session import Session, register
from headrace.cli.streams import spill
from headrace.cli.submitting import run as run_job
from headrace.cli.submitting import submit
from headrace.cli.submitting_many import submit_many
from headrace.cli.terminal import clean
from headrace.errors import HeadraceError, InvalidArgument

ENTRY_POINTS = "headrace.commands"
"""The entry-point group in which other packages add commands.

Each entry is a function that takes a Typer application and gives it commands.
"""
TRACEBACK_VARIABLE = "HEADRACE_TRACEBACK"

EXIT_USAGE = 2
_EXIT_BUG = 1
_SUMMARY = 200
"""Letters of a command's first sentence that its group shows."""


class Commands(typer.core.TyperGroup):
    """The commands of the client and those of other packages.

    The latter are loaded when they are asked for.
    """

    failed: tuple[str, ...] = ()
    """Why packages that have commands could not be loaded."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name, None for an unknown one."""
        if cmd_name not in self.commands:
            self._load()
        found = super().get_command(ctx, cmd_name)
        if found is None and self.failed and not ctx.resilient_parsing:
            ctx.fail(f"No such command {cmd_name!r}; others could not be loaded: {'; '.join(self.failed)}")
        return found

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands in their groups."""
        write_parameters(self, ctx, formatter)
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            title = getattr(command, "rich_help_panel", None) or "Commands"
            groups.setdefault(title, []).append((name, command.get_short_help_str(_SUMMARY)))
        write_groups(formatter, groups)

    @functools.cache  # noqa: B019 - there is one, as long as the process
    def _load(self) -> None:
        for point in entry_points(group=ENTRY_POINTS):
            try:
                added = typer.Typer(rich_markup_mode=None)
                point.load()(added)
                self.commands.update(typer.main.get_group(added).commands)
            except Exception as error:  # noqa: BLE001 - the other commands work without it
                self.failed += (_missing(point, error),)


def _missing(point: EntryPoint, error: Exception) -> str:
    """Why the commands of an entry point are not there; one named for an extra is cured by it."""
    cure = f"; pip install 'headrace[{point.name}]'" if isinstance(error, ImportError) else ""
    return f"{point.name} ({error}){cure}"


def application() -> typer.Typer:
    """The headrace script."""
    app = typer.Typer(
        cls=Commands,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    register(app.callback(), _before, group=True)
    panels: dict[str, dict[str, Callable[..., None]]] = {
        "Jobs": {
            "submit": submit,
            "submit-many": submit_many,
            "run": run_job,
            "watch": watch,
            "wait": wait,
            "get": get,
            "list": list_,
            "count": count,
            "events": events,
            "stop": stop,
            "stop-jobs": stop_jobs,
            "release": release,
            "update": update,
            "update-jobs": update_jobs,
            "delete": delete,
            "purge": purge,
        },
        "Choosing what runs": {
            "queues": queues,
            "tenants": tenants,
            "gates": gates,
            "pause": pause,
            "resume": resume,
            "limit": limit,
        },
        "Server": {"types": types, "instances": instances, "info": info, "health": health},
    }
    for panel, commands in panels.items():
        for name, command in commands.items():
            register(app.command(name, cls=Command, rich_help_panel=panel), command)
    app.command(cls=Command, rich_help_panel="Server")(version)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


def _before(
    session: Session,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version of this client."
        ),
    ] = False,
) -> None:
    """Job control over gRPC: submit a job, watch it live, stop it for real, get its result.

    Example: headrace run files.checksum path=/usr/share/dict
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command line, and return what the process is to end with."""
    return spill(_run(arguments) or None)  # help and completion too have to arrive


def _run(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(application())
    try:
        code = command.main(list(arguments) or ["--help"], prog_name="headrace", standalone_mode=False)
    except SystemExit as end:  # by what completion prints
        return end.code if isinstance(end.code, int) else _EXIT_BUG
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        message, code = explain(error)
        if message:  # there is none where the help was shown
            sys.stderr.write(f"headrace: {clean(' '.join(message.split()))}\n")
        return code
    return code if isinstance(code, int) else 0


def explain(error: Exception) -> tuple[str, int]:
    """A failure as a sentence, and its exit code."""
    if isinstance(error, typer.TyperException):
        return error.format_message().replace("Value error, ", ""), error.exit_code
    if isinstance(error, InvalidArgument):
        unsaid = [field for field in error.fields if field.description not in error.message]
        return "; ".join([error.message, *(f"{name}: {text}" for name, text in unsaid)]), error.exit_code
    if isinstance(error, HeadraceError):
        return error.message, error.exit_code
    if isinstance(error, ValueError):
        return str(error), EXIT_USAGE
    return f"This is a bug: {type(error).__name__}: {error}. {TRACEBACK_VARIABLE}=1 shows where.", _EXIT_BUG
