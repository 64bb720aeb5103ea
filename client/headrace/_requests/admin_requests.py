"""The calls of an operator, as data: see requests."""

from google.protobuf.field_mask_pb2 import FieldMask

from headrace._models.enums import GateScope
from headrace._requests import admin_answers, spec
from headrace._requests.requests import Call
from headrace.info import Gate, Page, Traffic
from headrace.options import GateChanges
from headrace.v1 import admin_service_pb2 as pb


def queues(tenant: str, page_token: str) -> Call[Page[Traffic]]:
    """ListQueues."""
    request = pb.ListQueuesRequest(tenant=tenant, page_token=page_token)

    def read(answer: pb.ListQueuesResponse) -> Page[Traffic]:
        return Page(tuple(map(admin_answers.traffic, answer.queues)), answer.next_page_token)

    return Call("ListQueues", request, read, service="admin")


def tenants(tenant: str, page_token: str) -> Call[Page[Traffic]]:
    """ListTenants."""
    request = pb.ListTenantsRequest(tenant=tenant, page_token=page_token)

    def read(answer: pb.ListTenantsResponse) -> Page[Traffic]:
        return Page(tuple(map(admin_answers.traffic, answer.tenants)), answer.next_page_token)

    return Call("ListTenants", request, read, service="admin")


def gates(tenant: str, page_token: str) -> Call[Page[Gate]]:
    """ListGates."""
    request = pb.ListGatesRequest(tenant=tenant, page_token=page_token)

    def read(answer: pb.ListGatesResponse) -> Page[Gate]:
        return Page(tuple(map(admin_answers.gate, answer.gates)), answer.next_page_token)

    return Call("ListGates", request, read, service="admin")


def update_gate(tenant: str, scope: GateScope | str, name: str, changes: GateChanges) -> Call[Gate]:
    """UpdateGate of the fields that are given."""
    request = pb.UpdateGateRequest(
        tenant=tenant,
        gate=spec.gate(scope, name, changes),
        update_mask=FieldMask(paths=sorted(changes)),
    )
    return Call("UpdateGate", request, _gate, service="admin")


def pause_queue(tenant: str, queue: str) -> Call[Gate]:
    """PauseQueue."""
    return Call("PauseQueue", pb.PauseQueueRequest(tenant=tenant, queue=queue), _gate, service="admin")


def resume_queue(tenant: str, queue: str) -> Call[Gate]:
    """ResumeQueue."""
    return Call("ResumeQueue", pb.ResumeQueueRequest(tenant=tenant, queue=queue), _gate, service="admin")


def pause_tenant(tenant: str) -> Call[Gate]:
    """PauseTenant."""
    return Call("PauseTenant", pb.PauseTenantRequest(tenant=tenant), _gate, service="admin")


def resume_tenant(tenant: str) -> Call[Gate]:
    """ResumeTenant."""
    return Call("ResumeTenant", pb.ResumeTenantRequest(tenant=tenant), _gate, service="admin")


def _gate(answer: pb.UpdateGateResponse | pb.PauseQueueResponse) -> Gate:
    """The gate of an answer that holds one."""
    return admin_answers.gate(answer.gate)
