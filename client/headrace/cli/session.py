"""The options of every command that calls a server: which server, which tenant, how much time.

The three options may stand before the command or after it; the one after it counts. A command is a
function whose first parameter is its Session. A parameter whose type is a dataclass is a group of
options: each field is one.
"""

import dataclasses
import inspect
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.interrupts import deliver
from headrace.cli.streams import spill
from headrace.cli.times import read_span
from headrace.errors import DeadlineExceeded, HeadraceError

if TYPE_CHECKING:  # importing the client imports gRPC
    from headrace.client import Client

_PANEL = "Which server"
_ANSWER = timedelta(seconds=30)
"""The default time limit for an answer: the client's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The server that is called, on whose behalf, and for how long."""

    target: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", rich_help_panel=_PANEL, help="The server (HEADRACE_TARGET; 127.0.0.1:50551)."
        ),
    ] = None
    tenant: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=_PANEL, help="The tenant (HEADRACE_TENANT; default)."),
    ] = None
    timeout: Annotated[
        timedelta | None,
        typer.Option(
            parser=read_span,
            metavar="TIME",
            rich_help_panel=_PANEL,
            help="The longest time to take (30s for an answer, no limit for the end of a job).",
        ),
    ] = None

    def connect(self, *, tenant: str | None = None, patient: bool = False) -> "Client":
        """Return a client for the server.

        patient: the timeout is for the end of a job, and no answer may take longer than that.
        """
        # gRPC's own log lines are not for users; errors come as exceptions.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from headrace.client import Client  # noqa: PLC0415 - imports gRPC

        deliver()  # from here on there may be a job to be left in good order
        tenant = tenant or self.tenant or os.environ.get("HEADRACE_TENANT", "")
        if self.timeout is None or (patient and self.timeout > _ANSWER):
            return Client(self.target, tenant=tenant)
        return Client(self.target, tenant=tenant, timeout=self.timeout)

    def health(self, seconds: float, *, live: bool = False) -> tuple[str, str]:
        """Return the health that the server reports, or "" and why it reports nothing.

        It is asked for at most so many seconds, or for the timeout of the session.

        live: only whether it answers.
        """
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from headrace._transport.channel import Connection  # noqa: PLC0415 - imports gRPC
        from headrace._transport.health import LIVE, check  # noqa: PLC0415 - imports gRPC

        connection = Connection.to(self.target, seconds if self.timeout is None else self.timeout)
        try:
            return check(connection, LIVE if live else ""), ""
        except HeadraceError as error:
            return "", error.message

    def options(self) -> list[str]:
        """The words that reach the same server and tenant in another command."""
        target = ["--target", self.target] if self.target else []
        return target + (["--tenant", self.tenant] if self.tenant else [])

    def over(self, base: "Session") -> "Session":
        """This session, and where it says nothing, what base says."""
        return Session(
            target=self.target or base.target,
            tenant=self.tenant or base.tenant,
            timeout=base.timeout if self.timeout is None else self.timeout,
        )


class Timer:
    """The remainder of a time that began when this object was made."""

    def __init__(self, length: timedelta | None) -> None:
        self._length = length
        self._end = None if length is None else time.monotonic() + length.total_seconds()

    def remaining(self) -> float | None:
        """Seconds, never negative; None: there is no limit."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Report an expired wait for a job with the whole time, not the part that one call had."""
        try:
            yield
        except DeadlineExceeded as error:
            if self._length is None or not error.job_id:
                raise
            seconds = self._length.total_seconds()
            raise DeadlineExceeded.of_job(error.job_id, error.job_status, seconds, code=error.code) from None


def execute(function: Callable[..., None], **given: Any) -> None:
    """Call a command, and end with its exit code, whatever became of its output.

    Raises typer.Exit if the code is not 0.
    """
    code: int | None = None
    try:
        function(**given)
    except typer.Exit as end:
        code = end.exit_code
    if code := spill(code):
        raise typer.Exit(code)


def register(
    add: Callable[[Callable[..., None]], object], function: Callable[..., None], *, group: bool = False
) -> None:
    """Make a function a command, by a decorator `add` of Typer.

    group: the function is the one that runs before every command.
    """
    own = inspect.signature(function).parameters
    groups: dict[str, Any] = {
        name: one.annotation for name, one in own.items() if dataclasses.is_dataclass(one.annotation)
    }

    def command(context: typer.Context, **given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
        if group:
            context.obj = given["session"]
            return
        base = context.obj if isinstance(context.obj, Session) else Session()
        given["session"] = given["session"].over(base)
        execute(function, **given)

    # The session's options come last in the help.
    names = sorted(own, key=lambda name: own[name].annotation is Session)
    parameters = [parameter for name in names for parameter in _expand(own[name])]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    command.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined] # Typer reads it
    command.__name__ = function.__name__
    command.__doc__ = function.__doc__
    add(command)


def _expand(parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    """The parameters that stand for one: itself, or the fields of its group."""
    if not dataclasses.is_dataclass(parameter.annotation):
        yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        return
    for field in dataclasses.fields(parameter.annotation):
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type
        )
