"""What AdminService answers: gates, queues and instances."""

from contextlib import suppress

from headrace.v1 import admin_service_pb2
from headrace_server.codec.times import timestamp, timestamp_or_none
from headrace_server.domain.bounds import time_or_none
from headrace_server.domain.gate import Gate, QueueStats
from headrace_server.domain.ports.cluster import Instance

_SCOPES = {name.removeprefix("GATE_SCOPE_"): number for name, number in admin_service_pb2.GateScope.items()}


def gate(gate: Gate) -> admin_service_pb2.Gate:
    """Return the message of the gate of a queue, a tenant or a type."""
    return admin_service_pb2.Gate(
        scope=_SCOPES.get(gate.scope.name, admin_service_pb2.GATE_SCOPE_UNSPECIFIED),
        name=gate.name,
        paused=gate.paused,
        max_running=gate.max_running,
        max_running_per_owner=gate.max_running_per_owner,
        weight=gate.weight,
    )


def traffic(found: QueueStats) -> admin_service_pb2.Traffic:
    """Return the message of the activity of a queue or a tenant."""
    return admin_service_pb2.Traffic(
        gate=gate(found.gate),
        waiting=found.waiting,
        waiting_at_least=found.at_least,
        oldest_queue_time=None if found.oldest is None else timestamp_or_none(time_or_none(found.oldest)),
        running=found.running,
    )


def instance(one: Instance) -> admin_service_pb2.Instance:
    """Return the message of an instance, with what it reports of itself.

    Only what this version knows is included. Another version may report more, or report it
    otherwise.
    """
    message = admin_service_pb2.Instance(instance=one.instance, live=one.live, running=one.held)
    with suppress(ValueError):
        message.start_time.CopyFrom(timestamp(one.start_time))
    for name, said in one.about.items():
        if name in _TOLD:
            with suppress(ValueError, TypeError):
                message.MergeFrom(admin_service_pb2.Instance(**{name: said}))
    return message


_TOLD = frozenset(admin_service_pb2.Instance.DESCRIPTOR.fields_by_name) - {
    "instance",
    "live",
    "start_time",
    "running",
}
