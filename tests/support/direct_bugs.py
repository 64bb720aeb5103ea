"""Direct start as a shortcut that forgot something: what the contract of a store must find.

Each is a Claimer whose claim_along is wrong; planted with `store._claimer.__class__`.
"""

from collections.abc import Awaitable, Iterable

from sqlalchemy import Connection

from headrace_server.domain import running
from headrace_server.domain.gate import Gate
from headrace_server.domain.ports.claims import Claimed, ClaimRequest
from headrace_server.store.claim.claimer import Claimer
from headrace_server.store.claim.claims import Claim, Taken
from headrace_server.store.gates import Gates
from headrace_server.store.write.operations import Phase
from headrace_server.store.write.unit_of_work import UnitOfWork
from headrace_server.store.write.writer import Writer


class _Open(Gates):
    """Nothing was said of any gate."""

    def read(self, connection: Connection, keys: Iterable[str]) -> list[Gate]:  # noqa: ARG002 - so it is
        """None."""
        return []


class SkipsGates(Claimer):
    """A direct start that looks at no gate."""

    def claim_along(self, request: ClaimRequest, writer: Writer, *, prove: bool) -> Awaitable[list[Claimed]]:
        """Claim through them all."""
        return self._along(writer.put(Claim(request, self._turn, _Open(), prove=prove)))


class _Own(Claim):
    """Takes what is submitted in this transaction, whoever waits."""

    def apply(self, unit: UnitOfWork) -> Taken:
        """Fill the slots with it."""
        claimed = []
        who = self.request.instance
        new = [job for job in unit.jobs.values() if job is not None and job.ready]
        for job, slot in zip(new, self.request.slots, strict=False):
            taken = unit.fold(running.claim(job, unit.now, instance=who, worker=slot.worker)).job
            claimed.append(Claimed(taken, "{}", slot))
        unit.flush()
        return Taken(claimed, busy=False, full=False)


class Overtakes(Claimer):
    """A direct start that gives the slot to the job that has just come."""

    def claim_along(self, request: ClaimRequest, writer: Writer, *, prove: bool) -> Awaitable[list[Claimed]]:
        """Claim it alone."""
        return self._along(writer.put(_Own(request, self._turn, self.gates, prove=prove)))


class _Early(Claim):
    """Comes before the stops of its batch."""

    phase = Phase.FOLD


class ForgetsStops(Claimer):
    """A direct start that is not last in its batch."""

    def claim_along(self, request: ClaimRequest, writer: Writer, *, prove: bool) -> Awaitable[list[Claimed]]:
        """Claim in the order of arrival."""
        return self._along(writer.put(_Early(request, self._turn, self.gates, prove=prove)))
