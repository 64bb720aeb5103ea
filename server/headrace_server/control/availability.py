"""Whether calls would be answered: what health says of an instance that serves.

    every 0.5 s   ask ──> answer                up after one
                      ──> refusal               a miss
                      ──> nothing within 1 s    a miss, and another with each 0.5 s more
                                                down after two

One question is on its way at a time, so a database that hangs is not asked ever more. A question
that is given up because nothing came is no new beginning: the next goes on with its silence. The
times make two seconds at most from the moment when calls begin to fail, or to be answered, until
health says so; two misses, because one may be a connection that was cut, which the next call makes
anew.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from headrace_server.control.background import Background
from headrace_server.domain.errors import StoreUnavailable

log = logging.getLogger(__name__)

INTERVAL: Final = 0.5
PATIENCE: Final = 1.0
MISSES: Final = 2


class Availability(Background):
    """Asks for as long as it is open. Up at first: it is opened when the store has answered.

    ask: is given the seconds that an answer may take, and raises StoreUnavailable. on_change: is
    told whether calls are answered, each time that this changes.
    """

    def __init__(
        self, ask: Callable[[float], Coroutine[Any, Any, None]], on_change: Callable[[bool], None]
    ) -> None:
        self._ask = ask
        self._on_change = on_change
        self._up = True
        self._missed = 0

    @property
    def up(self) -> bool:
        """Whether calls are answered."""
        return self._up

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        silent: float | None = None
        while True:
            asked = loop.time()
            silent = asked if silent is None else silent
            question = asyncio.create_task(self._ask(PATIENCE))
            try:
                await self._wait_for(question, silent)
                self._note_answer(question)
            finally:
                question.cancel()
            if loop.time() - asked < PATIENCE:  # it was answered, or refused
                silent = None
            await asyncio.sleep(max(0.0, asked + INTERVAL - loop.time()))

    async def _wait_for(self, question: "asyncio.Task[None]", silent: float) -> None:
        """Wait until a question is over. silent: since when there has been no answer."""
        loop = asyncio.get_running_loop()
        due = max(silent + PATIENCE, loop.time() + INTERVAL)
        while not (await asyncio.wait({question}, timeout=max(0.0, due - loop.time())))[0]:
            self._miss(f"it has not answered for {loop.time() - silent:.1f} s")
            due += INTERVAL

    def _note_answer(self, question: "asyncio.Task[None]") -> None:
        try:
            question.result()
        except StoreUnavailable as error:
            self._miss(str(error))
        except Exception as error:  # whatever it is, there is no answer, and it is asked again
            log.exception("the probe of the database failed")
            self._miss(repr(error))
        else:
            self._hit()

    def _miss(self, why: str) -> None:
        self._missed += 1
        if self._up and self._missed >= MISSES:
            self._up = False
            log.warning("calls are not answered now, and health says NOT_SERVING: %s", why)
            self._on_change(False)

    def _hit(self) -> None:
        self._missed = 0
        if not self._up:
            self._up = True
            log.warning("calls are answered again, and health says SERVING")
            self._on_change(True)
