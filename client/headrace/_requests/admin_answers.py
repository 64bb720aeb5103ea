"""Answers of AdminService, as the values of headrace.info."""

from headrace import info
from headrace._models.enums import GateScope
from headrace._requests.fields import time_of, word
from headrace.v1 import admin_service_pb2


def server_info(answer: admin_service_pb2.GetServerInfoResponse) -> info.ServerInfo:
    """Returns the description of a server from its message."""
    return info.ServerInfo(
        version=answer.version,
        instance=answer.instance,
        start_time=time_of(answer, "start_time"),
        settings=dict(answer.settings),
        limits=dict(answer.limits),
        counters=dict(answer.counters),
        draining=answer.draining,
    )


def instances(answer: admin_service_pb2.ListInstancesResponse) -> tuple[info.Instance, ...]:
    """The instances of a database."""
    return tuple(
        info.Instance(
            instance=one.instance,
            live=one.live,
            start_time=time_of(one, "start_time"),
            host=one.host,
            pid=one.pid,
            address=one.address,
            version=one.version,
            workers=one.workers,
            running=one.running,
            types=tuple(one.types),
            draining=one.draining,
            queues=tuple(one.queues),
        )
        for one in answer.instances
    )


def gate(message: admin_service_pb2.Gate) -> info.Gate:
    """Returns a gate from its message."""
    return info.Gate(
        scope=word(GateScope, admin_service_pb2.GateScope.DESCRIPTOR, message.scope, "GATE_SCOPE_"),
        name=message.name,
        paused=message.paused,
        max_running=message.max_running if message.HasField("max_running") else None,
        max_running_per_owner=message.max_running_per_owner
        if message.HasField("max_running_per_owner")
        else None,
        weight=message.weight,
    )


def traffic(message: admin_service_pb2.Traffic) -> info.Traffic:
    """Returns the traffic of a queue or a tenant from its message."""
    return info.Traffic(
        gate=gate(message.gate),
        waiting=message.waiting,
        waiting_at_least=message.waiting_at_least,
        oldest_queue_time=time_of(message, "oldest_queue_time"),
        running=message.running,
    )
