"""The methods of a client for operators, about what runs."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Unpack

from headrace._methods.aio.base import AsyncMethods
from headrace._models.enums import GateScope
from headrace._requests import admin_requests
from headrace.info import Gate, Traffic
from headrace.options import GateChanges


class AsyncAdminMethods(AsyncMethods):
    """The methods of AsyncClient that control what runs.

    A change holds for every instance as soon as the method has returned.
    """

    def queues(self) -> AsyncIterator[Traffic]:
        """Iterates over the queues that have waiting or running jobs, or a gate, by name.

        Pages are fetched as they are needed.
        """
        return self._pages(partial(admin_requests.queues, self._own_tenant))

    def tenants(self) -> AsyncIterator[Traffic]:
        """Iterates over the tenants that have waiting or running jobs, or a gate, by name.

        Pages are fetched as they are needed.
        """
        return self._pages(partial(admin_requests.tenants, self._own_tenant))

    def gates(self) -> AsyncIterator[Gate]:
        """Iterates over the gates that have any setting, by scope and name.

        Pages are fetched as they are needed.
        """
        return self._pages(partial(admin_requests.gates, self._own_tenant))

    async def update_gate(self, scope: GateScope | str, name: str, /, **changes: Unpack[GateChanges]) -> Gate:
        """Changes the gate of a queue, a tenant or a type, such as "QUEUE", "mail", max_running=5.

        headrace.options.GateChanges lists the fields. Those left out stay as they are. Jobs that
        run go on.
        """
        return await self._calls.make(admin_requests.update_gate(self._own_tenant, scope, name, changes))

    async def pause_queue(self, queue: str) -> Gate:
        """Pauses a queue for all tenants.

        None of its jobs is claimed until resume_queue. Running jobs go on.
        """
        return await self._calls.make(admin_requests.pause_queue(self._own_tenant, queue))

    async def resume_queue(self, queue: str) -> Gate:
        """Ends the pause of a queue."""
        return await self._calls.make(admin_requests.resume_queue(self._own_tenant, queue))

    async def pause_tenant(self, tenant: str) -> Gate:
        """Pauses a tenant in all queues.

        None of its jobs is claimed until resume_tenant. Running jobs go on.
        """
        return await self._calls.make(admin_requests.pause_tenant(tenant))

    async def resume_tenant(self, tenant: str) -> Gate:
        """Ends the pause of a tenant."""
        return await self._calls.make(admin_requests.resume_tenant(tenant))
