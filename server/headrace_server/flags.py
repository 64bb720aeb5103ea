"""Settings as flags of a command, in groups: they are said once, in config.py."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from headrace_server.config import Settings

_GROUPS = {
    "database_url": "Database",
    "amqp_url": "Events on RabbitMQ",
    "address": "Address",
    "jobs": "Jobs and workers",
    "drain_time": "Times",
    "max_messages_per_attempt": "Limits of a job",
    "max_page_size": "Limits of callers",
    "retention_succeeded": "What is kept",
    "warn_free_disk_mib": "Disk",
    "reflection": "What is told",
}
"""The first setting of each group, in the order of config.py; those that follow belong to it."""


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a flag for every setting."""

    def wrapped(**flags: Any) -> None:
        command(**flags)

    parameters, group = [], ""
    for name, field in Settings.model_fields.items():
        group = _GROUPS.get(name, group)
        option = typer.Option(help=_help(field), rich_help_panel=group)
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[_flag_type(field.annotation), option],
            )
        )
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
    if isinstance(default, bool):
        default = str(default).lower()
    elif isinstance(default, tuple):
        default = ",".join(default)
    elif isinstance(default, float):
        default = f"{default:g}" if default < 1e6 else f"{default:.0f}"  # noqa: PLR2004 - no exponents for people
    return field.description if default in (None, "") else f"{field.description} Default: {default}."
