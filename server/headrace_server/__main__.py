"""The server's commands: argv -> Settings -> App. They join the headrace script through an entry point.

The script loads this module to show its help, so what brings gRPC and SQLAlchemy is imported by what uses it.
"""

import asyncio
import contextlib
import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from headrace.cli.output import Form
from headrace_server.config import BadSettings, Settings, read_settings

EXIT_PROBLEM = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 6


def register(app: typer.Typer) -> None:
    """Add dev, serve, doctor and db to the headrace script."""
    app.command(rich_help_panel="Server")(_with_settings(dev))
    app.command(rich_help_panel="Server")(_with_settings(serve))
    app.command(rich_help_panel="Server")(_with_settings(doctor))
    database = typer.Typer(help="The database.", no_args_is_help=True)
    database.command("upgrade")(db_upgrade)
    app.add_typer(database, name="db", rich_help_panel="Server")


def dev(
    *,
    throwaway: Annotated[
        bool, typer.Option("--throwaway", help="Keep jobs in a temporary file that goes at the end.")
    ] = False,
    **flags: Any,
) -> None:
    """Run a server for development: gRPC, an SQLite file and worker processes, in one command."""
    with contextlib.ExitStack() as stack:
        if throwaway:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-"))
            flags |= {"database_url": f"sqlite:///{folder}/headrace.db", "durable": False}
        settings = _settings(flags)
        _run(settings, lambda address: _welcome(settings, address))
    _end()


def serve(**flags: Any) -> None:
    """Run a server."""
    settings = _settings(flags)
    _run(settings, lambda _address: None)
    _end()


def doctor(
    *,
    output: Annotated[Form, typer.Option("--output", "-o", help="The form of the output.")] = Form.TABLE,
    **flags: Any,
) -> None:
    """Look for what would keep a server with these settings from working. Exit code 1: there is a problem."""
    from headrace_server.doctor import Level, examine, show  # noqa: PLC0415 - see above

    settings = _settings(flags)
    if Level.PROBLEM in show(examine(settings), output):
        raise typer.Exit(EXIT_PROBLEM)


def db_upgrade(
    database_url: Annotated[str | None, typer.Option(help="Where jobs are kept, as for serve.")] = None,
) -> None:
    """Bring the database to the schema of this version; it is made when there is none."""
    from headrace_server.store import StoreLock, StoreRefused, migrate  # noqa: PLC0415 - see above

    settings = _settings({"database_url": database_url})
    try:
        lock = StoreLock.take(settings.database_url)
        try:
            migrate.upgrade(settings.database_url)
            found = migrate.state(settings.database_url)
        finally:
            lock.release()
    except StoreRefused as error:
        _fail(str(error), EXIT_UNAVAILABLE)
    typer.echo(f"{settings.shown()['database_url']} has the tables of {found.current}")


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a flag for every setting: settings are said once, in config.py."""

    def wrapped(**flags: Any) -> None:
        command(**flags)

    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_flag_type(field.annotation), typer.Option(help=_help(field))],
        )
        for name, field in Settings.model_fields.items()
    ]
    own = [one for one in inspect.signature(command).parameters.values() if one.kind is one.KEYWORD_ONLY]
    wrapped.__signature__ = inspect.Signature([*own, *parameters])  # type: ignore[attr-defined] # Typer reads it
    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    return wrapped


def _flag_type(annotation: Any) -> Any:
    if annotation in (bool, int, float):
        return annotation | None
    if annotation == tuple[str, ...]:
        return list[str] | None
    return str | None


def _help(field: Any) -> str:
    default = field.get_default(call_default_factory=False)
    shown = (
        ""
        if default in (None, ())
        else f" Default: {str(default).lower() if isinstance(default, bool) else default}."
    )
    return f"{field.description}{shown}"


def _settings(flags: dict[str, Any]) -> Settings:
    try:
        return read_settings(
            {name: value or None if isinstance(value, list) else value for name, value in flags.items()}
        )
    except BadSettings as error:
        _fail(str(error), EXIT_USAGE)


def _run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    from headrace_server import logs  # noqa: PLC0415 - see above
    from headrace_server.app import REFUSALS, App  # noqa: PLC0415 - see above

    logs.configure(settings.log_level, settings.log_format)

    async def main() -> None:
        await App(settings).run(on_ready)

    try:
        asyncio.run(main())
    except REFUSALS as error:
        _fail(str(error), EXIT_UNAVAILABLE)


def _welcome(settings: Settings, address: str) -> None:
    where = "PostgreSQL" if settings.shared else str(Path(settings.database_url.removeprefix("sqlite:///")))
    typer.echo(
        f"Headrace listens on {address}, keeps jobs in {where} and runs them in {settings.workers} workers.",
        err=True,
    )
    typer.echo(
        "Another terminal: headrace types, headrace run TYPE name=value …  Here: Ctrl-C ends it.", err=True
    )


def _end() -> NoReturn:
    """End the process here and now: everything is on disk, and nothing runs below it.

    Python's own way out waits for the threads of libraries, which may not end.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"headrace: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    cli = typer.Typer(no_args_is_help=True)
    register(cli)
    cli()
