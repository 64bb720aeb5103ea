"""Claims of one store: slots are filled together if they can be, else slot by slot.

**Direct start.** While a slot that is up is free, a claim rides with a submit: both are one entry of
the writer's queue, so the job is stored, claimed and permitted in one transaction.

    Submit ─┐ together                  ┌ FOLD    Submit, Apply (a stop) … of all who came meanwhile
    Claim  ─┴──────────> one batch: ────┤
                                        └ CLAIM   the ordinary Claim: it sees all of them, and all that waits

It is the same operation as every other claim, last in its batch as always: so it takes whoever's
turn it is, under all gates, and a stop that came in the same moment has won. On a shared database it
is written by the writer of the submits, whose batches others wait for. So it holds no gate there:
where a limit is in the way it takes nothing, and the ordinary claim, which follows, decides.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from headrace_server.domain.ports.claims import Claimed, ClaimRequest
from headrace_server.store.claim.claim_retry import ClaimRetry
from headrace_server.store.claim.claims import Claim, Taken, Turn
from headrace_server.store.gates import Gates
from headrace_server.store.write.writer import Writer

REFUSALS_MAX: Final = 20
"""The most jobs that one claim passes over because the database refuses them.

The next claim meets the jobs behind them.
"""


class Claimer:
    """Remembers whose turn it is, and when to try again where a gate was in the way."""

    def __init__(self, writer: Writer, again: ClaimRetry, clock: Callable[[], int]) -> None:
        self.gates = Gates()
        self._claims = writer
        self._again = again
        self._clock = clock
        self._turn = Turn()

    async def claim(self, request: ClaimRequest, *, prove: bool) -> list[Claimed]:
        """Fill slots with ready jobs; fewer when there are fewer.

        prove: that this instance is alive, in the same transaction. A job that expired at its
        permit is answered as FAILED, and its slot goes to the next.
        """
        made = self._again.made
        if together := await self._claims.try_put(Claim(request, self._turn, self.gates, prove=prove)):
            taken = together[0]
        else:
            taken = Taken(await self._claim_singly(request, prove=prove), busy=False, full=False)
        if not request.without_limits:
            self._again.answered(taken, len(request.slots) - len(taken.claimed), made)
        return taken.claimed

    def claim_along(self, request: ClaimRequest, writer: Writer, *, prove: bool) -> Awaitable[list[Claimed]]:
        """Claim with what is being put together at this writer.

        Raises what is wrong with the batch; the next claim then finds the same.
        """
        limits = writer is self._claims
        asked = Claim(request, self._turn, self.gates, prove=prove, limits=limits)
        return self._along(writer.put(asked))

    @staticmethod
    async def _along(answer: Awaitable[Taken]) -> list[Claimed]:
        return (await answer).claimed

    async def _claim_singly(self, request: ClaimRequest, *, prove: bool) -> list[Claimed]:
        """Claim slot by slot, passing over the jobs that the database refuses to have claimed.

        What was claimed is returned whatever follows.
        """
        claimed: list[Claimed] = []
        refusals = 0
        slots = list(request.slots)
        while slots:
            one = Claim(replace(request, slots=slots[:1]), self._turn, self.gates, prove=prove)
            try:
                claimed += (await self._claims.put(one)).claimed
                del slots[0]
            except Exception:
                refusals += 1
                if claimed:
                    return claimed
                if not one.tried or refusals > REFUSALS_MAX:
                    raise
                self._turn.passed |= dict.fromkeys(one.tried, self._clock())
        return claimed
