"""The server's commands, which lead from argv to Settings to App.

They join the headrace script through an entry point.

The script loads this module to show its help, so what brings gRPC and SQLAlchemy is imported by
what uses it.
"""

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from headrace._loading import uncollected
from headrace.cli.form import Form
from headrace.cli.help import Command
from headrace.cli.interrupts import deliver
from headrace_server import streams
from headrace_server.config import BadSettings, Settings, read_settings
from headrace_server.flags import with_settings
from headrace_server.printable import printable

if TYPE_CHECKING:  # see above
    from headrace_server.app import App

EXIT_PROBLEM = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 6


def register(app: typer.Typer) -> None:
    """Add dev, serve, doctor and db to the headrace script."""
    app.command(cls=Command, rich_help_panel="Server")(with_settings(dev))
    app.command(cls=Command, rich_help_panel="Server")(with_settings(serve))
    app.command(cls=Command, rich_help_panel="Server")(with_settings(doctor))
    database = typer.Typer(help="The database.", rich_markup_mode=None, no_args_is_help=True)
    database.command("upgrade", cls=Command)(db_upgrade)
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
            deliver()  # so that Ctrl-C during the start takes the folder away too
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-"))
            flags |= {"database_url": f"sqlite:///{folder}/headrace.db", "durable": False}
        settings = _settings(flags)
        _run(settings, lambda app, address: _welcome(settings, app.types, address), successes=True)
    _end()


def serve(**flags: Any) -> None:
    """Run a server."""
    settings = _settings(flags)
    _run(settings, lambda _app, _address: None)
    _end()


def doctor(
    *,
    output: Annotated[Form, typer.Option("--output", "-o", help="The form of the output.")] = Form.TABLE,
    **flags: Any,
) -> None:
    """Look for what would keep a server with these settings from working.

    The exit code is 1 when there is a problem.
    """
    from headrace_server.doctor import Level, examine, show  # noqa: PLC0415 - see above

    settings = _settings(flags)
    if Level.PROBLEM in show(examine(settings), output):
        raise typer.Exit(EXIT_PROBLEM)


def db_upgrade(
    database_url: Annotated[str | None, typer.Option(help="Where jobs are kept, as for serve.")] = None,
) -> None:
    """Bring the database to the schema of this version; it is made when there is none."""
    from headrace_server.store import StoreLock, StoreRefused  # noqa: PLC0415 - see above
    from headrace_server.store.opening import migrate  # noqa: PLC0415 - see above

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


def _settings(flags: dict[str, Any]) -> Settings:
    try:
        return read_settings(
            {name: value or None if isinstance(value, list) else value for name, value in flags.items()}
        )
    except BadSettings as error:
        _fail(str(error), EXIT_USAGE)


def _run(settings: Settings, on_ready: Callable[["App", str], None], *, successes: bool = False) -> None:
    streams.open_missing()
    with uncollected():
        from headrace_server import logs  # noqa: PLC0415 - see above
        from headrace_server.app import REFUSALS, App  # noqa: PLC0415 - see above

    async def main() -> None:
        app = App(settings)
        await app.run(lambda address: on_ready(app, address))

    with streams.taken() as sink:
        logs.configure(settings.log_level, settings.log_format, sink, successes=successes)
        try:
            asyncio.run(main())
        except REFUSALS as error:
            _fail(str(error), EXIT_UNAVAILABLE)
        except Exception:
            logging.getLogger(__name__).exception("the server has ended by a defect")
            raise typer.Exit(EXIT_PROBLEM) from None


def _welcome(settings: Settings, types: Sequence[str], address: str) -> None:
    where = "PostgreSQL" if settings.shared else str(Path(settings.database_url.removeprefix("sqlite:///")))
    typer.echo(
        f"Headrace listens on {address}, keeps jobs in {where} and runs them in {settings.workers} workers.",
        err=True,
    )
    typer.echo(
        f"Types: {', '.join(types)}." if types else "No type is loaded: name the module of one with --jobs.",
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
    typer.echo(printable(f"headrace: {message}"), err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    cli = typer.Typer(no_args_is_help=True)
    register(cli)
    cli()
