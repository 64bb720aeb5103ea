"""Gates: what an operator lets run, and what passes."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headrace_server.domain.gate import Gate, QueueStats, Scope


class GateStore(Protocol):
    """A store of the gates of queues, tenants and types."""

    async def change_gate(self, gate: Gate, fields: Mapping[str, Any]) -> Gate:
        """Change fields of the gate of this scope and name; answer it as it is now.

        What is claimed after this was answered, by any instance, is claimed under the new values.
        """
        ...

    async def find_gates(self, *, after: str, limit: int) -> Sequence[Gate]:
        """The gates of which anything was said behind a key, by scope and name."""
        ...

    async def traffic(self, scope: Scope, *, after: str, limit: int) -> Sequence[QueueStats]:
        """Return the activity of the queues or tenants after a name, in order of name."""
        ...
