"""What an operator can do about what runs, on the running event loop."""

from collections.abc import AsyncIterator
from typing import TypeVar, Unpack

from headrace._models.enums import GateScope
from headrace._requests import admin_requests
from headrace._transport.aio_calls import AsyncCalls
from headrace.info import Gate, Traffic
from headrace.options import GateChanges

T = TypeVar("T")


class AsyncAdminVerbs:
    """The verbs of AsyncClient that choose what runs. What one answers holds for every instance from then on."""

    _calls: AsyncCalls
    _own_tenant: str

    def queues(self) -> AsyncIterator[Traffic]:
        """The queues with jobs that wait or run, or with a gate, by name, read page by page as they are asked for."""
        return self._pages(admin_requests.queues)

    def tenants(self) -> AsyncIterator[Traffic]:
        """The tenants with jobs that wait or run, or with a gate, by name, read page by page as they are asked for."""
        return self._pages(admin_requests.tenants)

    def gates(self) -> AsyncIterator[Gate]:
        """The gates of which anything was said, by scope and name, read page by page as they are asked for."""
        return self._pages(admin_requests.gates)

    async def update_gate(self, scope: GateScope | str, name: str, /, **changes: Unpack[GateChanges]) -> Gate:
        """Changes the gate of a queue, a tenant or a type, such as "QUEUE", "mail", max_running=5.

        headrace.options.GateChanges lists the fields. Those left out stay as they are. Jobs that run go on.
        """
        return await self._calls.make(admin_requests.update_gate(self._own_tenant, scope, name, changes))

    async def pause_queue(self, queue: str) -> Gate:
        """Pauses a queue, for all tenants: nothing of it is claimed until resume_queue. Jobs that run go on."""
        return await self._calls.make(admin_requests.pause_queue(self._own_tenant, queue))

    async def resume_queue(self, queue: str) -> Gate:
        """Ends the pause of a queue."""
        return await self._calls.make(admin_requests.resume_queue(self._own_tenant, queue))

    async def pause_tenant(self, tenant: str) -> Gate:
        """Pauses a tenant, in all queues: nothing of it is claimed until resume_tenant. Jobs that run go on."""
        return await self._calls.make(admin_requests.pause_tenant(tenant))

    async def resume_tenant(self, tenant: str) -> Gate:
        """Ends the pause of a tenant."""
        return await self._calls.make(admin_requests.resume_tenant(tenant))

    async def _pages(self, call: admin_requests.Pages[T]) -> AsyncIterator[T]:
        token = ""
        while True:
            page = await self._calls.make(call(self._own_tenant, token))
            for one in page.items:
                yield one
            token = page.next_page_token
            if not token:
                return
