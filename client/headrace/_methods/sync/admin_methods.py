# Made by `make sync` from ../aio/admin_methods.py: change that.
"""The methods of a client for operators, about what runs."""

from collections.abc import Iterator
from functools import partial
from typing import Unpack

from headrace._methods.sync.base import Methods
from headrace._models.enums import GateScope
from headrace._requests import admin_requests
from headrace.info import Gate, Traffic
from headrace.options import GateChanges


class AdminMethods(Methods):
    """The methods of Client that control what runs.

    A change holds for every instance as soon as the method has returned.
    """

    def queues(self) -> Iterator[Traffic]:
        """Iterates over the queues that have waiting or running jobs, or a gate, by name.

        Pages are fetched as they are needed.
        """
        return self._pages(partial(admin_requests.queues, self._own_tenant))

    def tenants(self) -> Iterator[Traffic]:
        """Iterates over the tenants that have waiting or running jobs, or a gate, by name.

        Pages are fetched as they are needed.
        """
        return self._pages(partial(admin_requests.tenants, self._own_tenant))

    def gates(self) -> Iterator[Gate]:
        """Iterates over the gates that have any setting, by scope and name.

        Pages are fetched as they are needed.
        """
        return self._pages(partial(admin_requests.gates, self._own_tenant))

    def update_gate(self, scope: GateScope | str, name: str, /, **changes: Unpack[GateChanges]) -> Gate:
        """Changes the gate of a queue, a tenant or a type, such as "QUEUE", "mail", max_running=5.

        headrace.options.GateChanges lists the fields. Those left out stay as they are. Jobs that
        run go on.
        """
        return self._calls.make(admin_requests.update_gate(self._own_tenant, scope, name, changes))

    def pause_queue(self, queue: str) -> Gate:
        """Pauses a queue for all tenants.

        None of its jobs is claimed until resume_queue. Running jobs go on.
        """
        return self._calls.make(admin_requests.pause_queue(self._own_tenant, queue))

    def resume_queue(self, queue: str) -> Gate:
        """Ends the pause of a queue."""
        return self._calls.make(admin_requests.resume_queue(self._own_tenant, queue))

    def pause_tenant(self, tenant: str) -> Gate:
        """Pauses a tenant in all queues.

        None of its jobs is claimed until resume_tenant. Running jobs go on.
        """
        return self._calls.make(admin_requests.pause_tenant(tenant))

    def resume_tenant(self, tenant: str) -> Gate:
        """Ends the pause of a tenant."""
        return self._calls.make(admin_requests.resume_tenant(tenant))
