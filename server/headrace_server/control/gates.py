"""The use cases of AdminService that choose what runs: gates, and what passes them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headrace_server.control.jobs.pages import make_token, page_size, read_token
from headrace_server.control.validate.limits import Limits
from headrace_server.control.validate.specs import check_text
from headrace_server.domain.errors import FieldViolation, InvalidArgument
from headrace_server.domain.gate import Gate, QueueStats, Scope
from headrace_server.domain.ports.gates import GateStore

log = logging.getLogger(__name__)

RUNNING_MAX: Final = 1_000_000
WEIGHT_MAX: Final = 1000


class GateKeeper:
    """The use cases. Every method may raise StoreUnavailable."""

    def __init__(self, store: GateStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def change(self, gate: Gate, fields: Mapping[str, Any]) -> Gate:
        """Change fields of the gate of this scope and name, and return it as it is now.

        Raises InvalidArgument.
        """
        violations = [*self._name_violations(gate), *_violations(gate.scope, fields)]
        if violations:
            raise InvalidArgument(*violations)
        changed = await self._store.change_gate(gate, fields)
        log.info("gate of %s %s is changed: %s", gate.scope, gate.name, dict(fields))
        return changed

    async def find(self, *, size: int, token: str) -> tuple[Sequence[Gate], str]:
        """Return a page of the gates, by scope and name, and the token of the next page.

        The token is "" at the end. Raises InvalidPageToken.
        """
        place = read_token("gates", token, (str,))
        limit = page_size(size, self._limits.page_size)
        found = await self._store.find_gates(after=place[0] if place else "", limit=limit)
        return found, make_token("gates", (found[-1].key,)) if len(found) == limit else ""

    async def traffic(self, scope: Scope, *, size: int, token: str) -> tuple[Sequence[QueueStats], str]:
        """Return a page of the queues or tenants, by name, and the token of the next page.

        The token is "" at the end. Raises InvalidPageToken.
        """
        query = ("traffic", scope.value)
        place = read_token(query, token, (str,))
        limit = page_size(size, self._limits.page_size)
        found = await self._store.traffic(scope, after=place[0] if place else "", limit=limit)
        return found, make_token(query, (found[-1].gate.name,)) if len(found) == limit else ""

    def _name_violations(self, gate: Gate) -> Iterator[FieldViolation]:
        if not gate.name:
            yield FieldViolation("name", f"The {gate.scope} is not named.")
        yield from check_text("name", gate.name, self._limits.name_chars)


def _violations(scope: Scope, fields: Mapping[str, Any]) -> Iterator[FieldViolation]:
    for name in ("max_running", "max_running_per_owner"):
        bound = fields.get(name)
        if bound is not None and not 0 <= bound <= RUNNING_MAX:
            yield FieldViolation(name, f"It is 0 to {RUNNING_MAX}.")
    weight = fields.get("weight", 1)
    if weight != 1 and scope is not Scope.TENANT:
        yield FieldViolation("weight", "Only tenants are weighed.")
    elif not 1 <= weight <= WEIGHT_MAX:
        yield FieldViolation("weight", f"It is 1 to {WEIGHT_MAX}.")
