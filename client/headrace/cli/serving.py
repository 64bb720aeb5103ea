"""types, instances, info, health and version: the servers and what they offer."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from headrace import _version
from headrace.cli import completion
from headrace.cli.options import OutputOptions
from headrace.cli.record import of_instance, of_server, of_type
from headrace.cli.session import Session, execute
from headrace.cli.table import Column, write_table
from headrace.cli.terminal import clean, paragraph, write
from headrace.cli.times import show_age, show_moment, show_span
from headrace.errors import Unavailable, UnknownType
from headrace.info import Instance, JobType

PROBE_SECONDS = 5.0
"""Seconds that a probe allows unless another time is given."""
_TYPE_COLUMNS = (
    Column("TYPE"),
    Column("INSTANCES", rank=2, right=True),
    Column("PARAMETERS", rank=1, cut=True),
    Column("DESCRIPTION", rank=3, cut=True),
)
_INSTANCE_COLUMNS = (
    Column("INSTANCE", cut=True),
    Column("STATE"),
    Column("ADDRESS", rank=1),
    Column("RUNNING", right=True),
    Column("QUEUES", rank=3, cut=True),
    Column("TYPES", rank=3, right=True),
    Column("VERSION", rank=4),
    Column("SINCE", rank=2),
)


def types(
    session: Session,
    form: OutputOptions,
    job_type: Annotated[
        str | None,
        typer.Argument(metavar="[TYPE]", help="One of them, in full.", autocompletion=completion.types),
    ] = None,
) -> None:
    """List the types of job that can be submitted, and the modules that failed to load.

    Example: headrace types image.resize
    """
    output = form.read()
    with session.connect() as client:
        known = client.types()
    if job_type is None:
        if output.for_people:
            _write_types(known)
        else:
            output.many(map(of_type, known))
        return
    found = next((one for one in known if one.type == job_type), None)
    if found is None:
        names = ", ".join(one.type for one in known if one.type) or "none"
        raise UnknownType(f"There is no type {job_type!r}; there is {names}.")
    output.one(of_type(found), lambda: _write_type(found))


def info(session: Session, form: OutputOptions) -> None:
    """Show the server: version, settings, limits, counters.

    Example: headrace info -o json
    """
    output = form.read()
    with session.connect() as client:
        server = client.server_info()
        target = client.target

    def table() -> None:
        write(f"Headrace {server.version} at {target}{', draining' if server.draining else ''}")
        write(
            f"Instance {server.instance}, since {show_moment(server.start_time)} ({show_age(server.start_time)})"
        )
        for title, values in (
            ("Settings", server.settings),
            ("Limits", server.limits),
            ("Counters", server.counters),
        ):
            _write_block(title, values)

    output.one(of_server(server), table)


def health(
    session: Session,
    live: Annotated[
        bool,
        typer.Option("--live", help="Only whether it answers: a server that drains or waits is live."),
    ] = False,
) -> None:
    """Ask once whether the server serves.

    Exit code 0: it is SERVING; 6: it is not, or does not answer within 5 s.

    Balancers go by this; restarts go by --live, since none brings a database back, and each ends
    jobs that run.

    Example: headrace health --target 127.0.0.1:50551 --timeout 2s
    """
    status, why = session.health(PROBE_SECONDS, live=live)
    if status != "SERVING":
        raise Unavailable(why or f"The server says {status}: it drains, or waits for its database.")
    write(status)


def instances(session: Session, form: OutputOptions) -> None:
    """List the servers of the same database: who lives, where, and what each is doing.

    Example: headrace instances
    """
    output = form.read()
    with session.connect() as client:
        found = client.instances()
    if output.for_people:
        write_table(_INSTANCE_COLUMNS, [_instance(one) for one in found])
    else:
        output.many(map(of_instance, found))


def _instance(one: Instance) -> list[str]:
    state = "dead" if not one.live else "draining" if one.draining else "live"
    since = show_age(one.start_time)
    return [
        one.instance,
        state,
        one.address,
        f"{one.running}/{one.workers}",
        ", ".join(one.queues) or "all",
        str(len(one.types)),
        one.version,
        since,
    ]


def version() -> None:
    """Print the version of this client."""
    execute(lambda: write(f"headrace {_version.read()}"))


def _write_types(known: tuple[JobType, ...]) -> None:
    loaded = [one for one in known if not one.load_error]
    rows = [
        [one.type, str(one.instance_count), _parameters(one), one.description.split("\n")[0]]
        for one in loaded
    ]
    write_table(_TYPE_COLUMNS, rows)
    for one in known:
        if one.load_error:
            write(f"{one.type or one.module} failed to load: {paragraph(one.load_error)}")


def _write_type(one: JobType) -> None:
    write(one.type)
    if one.description:
        write(f"  {paragraph(one.description)}")
    write(
        f"  from {one.module}, served by {one.instance_count} instance{'' if one.instance_count == 1 else 's'}"
    )
    if one.load_error:
        write(f"  failed to load: {paragraph(one.load_error)}")
    if one.retry_policy is not None and one.retry_policy.max_attempts > 1:
        write(f"  starts up to {one.retry_policy.max_attempts} times")
    if one.workspace:
        write("  uses a workspace, and waits for disk space where there is none")
    if one.fresh:
        write("  each run has a worker process of its own")
    if one.concurrency > 1:
        write(f"  up to {one.concurrency} runs share a worker process")
    if one.attempt_timeout is not None:
        write(f"  each run takes at most {show_span(one.attempt_timeout)}")
    required, properties = _schema(one)
    rows = [
        [name, _kind(schema), _default(schema, name in required), str(schema.get("description", ""))]
        for name, schema in properties.items()
    ]
    if rows:
        columns = (Column("PARAMETER"), Column("KIND", cut=True), Column("DEFAULT", cut=True))
        write_table((*columns, Column("DESCRIPTION", rank=1, cut=True)), rows)


def _schema(one: JobType) -> tuple[list[str], Mapping[str, Any]]:
    schema = one.parameters_schema or {}
    return schema.get("required", []), schema.get("properties", {})


def _parameters(one: JobType) -> str:
    """The parameters in short: those that may be left out with their defaults."""
    required, properties = _schema(one)
    return " ".join(
        name if name in required else f"{name}={_default(schema, False)}"
        for name, schema in properties.items()
    )


def _kind(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    return str(schema.get("format") or schema.get("type") or schema.get("title") or "any")


def _default(schema: Mapping[str, Any], required: bool) -> str:
    if required:
        return "required"
    return json.dumps(schema["default"], ensure_ascii=False) if "default" in schema else "none"


def _write_block(title: str, values: Mapping[str, object]) -> None:
    if values:
        write(title)
    width = max(map(len, values), default=0)
    for name, value in sorted(values.items()):
        write(f"  {name.ljust(width)}  {clean(str(value))}")
