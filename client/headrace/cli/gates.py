"""queues, tenants, gates, pause, resume and limit: what runs, and how much of it at once."""

from typing import Annotated

import typer

from headrace.cli.options import OutputOptions
from headrace.cli.output import Output
from headrace.cli.record import of_gate, of_traffic
from headrace.cli.session import Session
from headrace.cli.table import Column, write_table
from headrace.cli.terminal import clean, write
from headrace.cli.times import show_age
from headrace.info import Gate, Traffic
from headrace.options import GateChanges

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="queue, tenant or type.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]
Bound = Annotated[str | None, typer.Option(metavar="N|none", help="Jobs at once.")]

_LIMITS = (Column("LIMIT", right=True), Column("PER OWNER", rank=2, right=True))


def queues(session: Session, form: OutputOptions) -> None:
    """List the queues that have jobs or a gate: what waits, what runs, what is paused.

    Example: headrace queues
    """
    output = form.read()
    with session.connect() as client:
        _show(output, "QUEUE", list(client.queues()))


def tenants(session: Session, form: OutputOptions) -> None:
    """List the tenants that have jobs or a gate: what waits, what runs, who is paused.

    Example: headrace tenants -o json
    """
    output = form.read()
    with session.connect() as client:
        _show(output, "TENANT", list(client.tenants()))


def gates(session: Session, form: OutputOptions) -> None:
    """List what is paused, limited or weighed: queues, tenants and types.

    Example: headrace gates
    """
    output = form.read()
    with session.connect() as client:
        found = list(client.gates())
    if not output.for_people:
        output.many(map(of_gate, found))
        return
    columns = (Column("SCOPE"), Column("NAME"), Column("STATE"), *_LIMITS, Column("WEIGHT", right=True))
    write_table(
        columns,
        [[gate.scope.lower(), gate.name, _state(gate), *_bounds(gate), str(gate.weight)] for gate in found],
    )


def pause(session: Session, scope: Scope, name: Name, form: OutputOptions) -> None:
    """Pause a queue, a tenant or a type: what runs goes on, and nothing of it is started.

    Example: headrace pause queue mail
    """
    _change(session, form, scope, name, {"paused": True})


def resume(session: Session, scope: Scope, name: Name, form: OutputOptions) -> None:
    """End a pause.

    Example: headrace resume queue mail
    """
    _change(session, form, scope, name, {"paused": False})


def limit(
    session: Session,
    scope: Scope,
    name: Name,
    form: OutputOptions,
    *,
    running: Bound = None,
    per_owner: Annotated[
        str | None, typer.Option(metavar="N|none", help="Jobs of each owner of each tenant at once.")
    ] = None,
    weight: Annotated[
        int | None, typer.Option(metavar="N", help="A tenant's jobs in a round where others have one.")
    ] = None,
) -> None:
    """Limit how many jobs of a queue, a tenant or a type run at once, or weigh a tenant.

    The limits hold over all instances.

    Example: headrace limit queue mail --running 20 --per-owner 2
    """
    changes = GateChanges()
    if running is not None:
        changes["max_running"] = _bound("--running", running)
    if per_owner is not None:
        changes["max_running_per_owner"] = _bound("--per-owner", per_owner)
    if weight is not None:
        changes["weight"] = weight
    if not changes:
        raise ValueError("There is nothing to change: give --running, --per-owner or --weight.")
    _change(session, form, scope, name, changes)


def _show(output: Output, title: str, found: list[Traffic]) -> None:
    if not output.for_people:
        output.many(map(of_traffic, found))
        return
    columns = (
        Column(title),
        Column("STATE"),
        Column("WAITING", right=True),
        Column("OLDEST", rank=1),
        Column("RUNNING", right=True),
        *_LIMITS,
    )
    write_table(columns, [_row(one) for one in found])


def _row(one: Traffic) -> list[str]:
    oldest = show_age(one.oldest_queue_time) if one.oldest_queue_time else ""
    waiting = f"{one.waiting}{'+' if one.waiting_at_least else ''}"
    return [one.gate.name, _state(one.gate), waiting, oldest, str(one.running), *_bounds(one.gate)]


def _change(session: Session, form: OutputOptions, scope: str, name: str, changes: GateChanges) -> None:
    output = form.read()
    with session.connect() as client:
        gate = client.update_gate(scope.upper(), name, **changes)
    output.one(of_gate(gate), lambda: write(_sentence(gate)))


def _sentence(gate: Gate) -> str:
    said = [
        "paused" if gate.paused else "",
        f"at most {gate.max_running} at once" if gate.max_running is not None else "",
        f"at most {gate.max_running_per_owner} of each owner"
        if gate.max_running_per_owner is not None
        else "",
        f"weight {gate.weight}" if gate.weight != 1 else "",
    ]
    return (
        f"{gate.scope.lower()} {clean(gate.name)}: {', '.join(filter(None, said)) or 'open, without limits'}"
    )


def _state(gate: Gate) -> str:
    return "paused" if gate.paused else "open"


def _bounds(gate: Gate) -> list[str]:
    bounds = (gate.max_running, gate.max_running_per_owner)
    return ["" if bound is None else str(bound) for bound in bounds]


def _bound(option: str, text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdigit():
        raise ValueError(f"{option} is a number, or none: not {text!r}.")
    return int(text)
