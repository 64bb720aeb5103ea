"""Loading: the server's hold on the process that imports the job modules for it.

    Loading ── LoaderProcesses ──> supervisor ──fork──> loader      a supervisor of its own: see supervisor
            <═ LoaderLife: what it finds, and checks of parameters ═>

The server imports no module of jobs: one could take its signal handlers, its logging or its
threads, or end it. What it needs of them, it is told; what a type's own classes must look at, it
asks.

**A module that breaks its process.** Each is announced before it is imported. The one that was when
the loader ended, or hung, is left out, and another loader begins again; it is told in the log, and
the others load. Where it is not to blame, or none was being imported, `suspects` finds out which
is.

**A repair.** While a module is broken, or the loader has died, another loader tries again, after a
wait that doubles from 1 to 30 s. It takes the place of the one before when it has come to the end;
until then that one goes on to check.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from headrace_server.domain.errors import FieldViolation, InvalidParameter, LoaderUnavailable
from headrace_server.work.catalog import loader
from headrace_server.work.catalog.bends import sentences
from headrace_server.work.catalog.loader_life import Load, LoaderLife, parameters_of
from headrace_server.work.catalog.path import path_of_jobs
from headrace_server.work.catalog.registry import Registry
from headrace_server.work.catalog.suspects import guilty
from headrace_server.work.catalog.worker_types import WorkerTypes
from headrace_server.work.loader_processes import LoaderProcesses

_LOG: Final = logging.getLogger(__name__)

CHECK_SECONDS: Final = 1.0
"""For the check of a job's parameters by classes of its own."""
_STUCK_SECONDS: Final = 1.0
"""More, for a loader that is to give up the check by itself."""
RETRY_FIRST, RETRY_MAX = 1.0, 30.0
_MOMENT: Final = 1.0
"""Seconds in which a thread that a module has left does what it does, most often."""
_STRAYS_MAX: Final = 3
"""How often a loader may end outside of an import before no other is tried at once."""


class Loading:
    """Loads job modules in a process, and asks it.

    load_seconds: for the import of each module. bytecode: whether the import may write some.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        entry_points: bool,
        load_seconds: float,
        bytecode: bool = True,
        log: logging.Logger = _LOG,
    ) -> None:
        settings = loader.LoaderSettings(
            modules=list(modules),
            entry_points=entry_points,
            path=path_of_jobs(),
            bytecode=bytecode,
        )
        self._log = log
        self.found = Load()
        """The result of the last load."""
        self.registry = Registry(self.check)
        self.left_out: frozenset[str] = frozenset()
        """The modules that end or hold up the process that imports them."""
        self.workers = WorkerTypes(self.registry, self.look_again)
        self._processes = LoaderProcesses(settings, load_seconds, log=log, on_end=self._ended)
        self._life: LoaderLife | None = None
        self._errors: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._bends: set[str] = set()
        self._fell_late = False
        """Whether a loader has ended by itself, with nothing to do.

        The next one then has to last a moment before it counts.
        """
        self._look = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False

    async def first(self) -> None:
        """Load for the first time; then the registry knows the types.

        Raises OSError when no process can be started.
        """
        self._processes.start()
        await self._load()

    def keep(self, on_load: Callable[[], None]) -> None:
        """From now on load again when that is needed. on_load is called now, and each time."""
        self._keeper = asyncio.create_task(self._keep(on_load))
        on_load()

    def look_again(self) -> None:
        """Something has changed on the disk, it seems: load again."""
        self._look.set()

    async def close(self) -> None:
        """End the loader; nothing of it is left."""
        self._closing = True
        self.workers.close()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._processes.close()

    async def check(self, kind: str, parameters: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
        """Return parameters as the type's own classes understand them.

        Raises InvalidParameter, LoaderUnavailable.
        """
        life = self._life
        if life is None or not life.alive or kind not in life.load.types:
            raise LoaderUnavailable(
                f"The parameters of {kind!r} are checked by classes of its own, and the process that loads those "
                "is not there: it is being started again."
            )
        until = time.monotonic() + CHECK_SECONDS
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                checked = await life.ask(kind, parameters, until, whole=whole)
        except TimeoutError:
            life.expect(_STUCK_SECONDS)
            raise _late(kind) from None
        except ConnectionError as error:
            raise LoaderUnavailable(
                f"The process that checks the parameters of {kind!r} {error}. It is being started again."
            ) from None
        if checked.late:
            raise _late(kind)
        if checked.wrong is not None:
            raise InvalidParameter(*(FieldViolation(*one) for one in checked.wrong))
        return parameters_of(checked)

    async def _load(self) -> None:
        """Run a loader until all is loaded, and give the registry what it has found.

        The modules that break a loader are left out.
        """
        skip: dict[str, str] = {}
        strays = 0
        while strays < _STRAYS_MAX:
            life = await self._processes.spawn(list(skip))
            why = await life.settled or (await self._lasts(life) if self._fell_late else "")
            if not why:
                self._fell_late = bool(skip) and self._fell_late
                self._loaded(life, skip)
                self._learn(life.load, skip)
                return
            found = await guilty(life, why, skip=skip, known=self._errors, alone=self._alone)
            for module, reason in found.items():
                self._tell(module, reason)
            skip |= found
            if not found:
                strays += 1
                await asyncio.sleep(RETRY_FIRST)
        self._log.error("the loader of the job modules cannot be kept: %s", why)
        self._errors = {**skip, "": why}
        self._learn(Load(errors=self._errors), skip)

    async def _alone(self, module: str, skip: Sequence[str]) -> str:
        """Return why a process that imports this module alone ends, or "" when it does not.

        The process may end at once or a moment later. The modules of `skip` are left out.
        """
        life = await self._processes.spawn(skip, modules=[module], entry_points=False)
        why = await life.settled or await self._lasts(life)
        if life.alive:
            self._processes.kill(life)
        return why

    @staticmethod
    async def _lasts(life: LoaderLife) -> str:
        """Why a loader that has loaded all ends a moment later; "" when it does not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOMENT):
                await life.ended.wait()
        return life.why

    def _learn(self, load: Load, skip: Mapping[str, str]) -> None:
        before = (self.registry.versions, set(self.found.errors))
        self.found = load
        self.registry.learn(load)
        if before != (self.registry.versions, set(load.errors)):
            self.workers.changed()
        self.left_out = frozenset(skip)

    def _loaded(self, life: LoaderLife, skip: Mapping[str, str]) -> None:
        load, before = life.load, self._life
        load.errors |= skip
        for module in self._told.keys() - load.errors.keys():
            del self._told[module]
            self._log.info("job module %s loads now", module)
        for module, error in load.errors.items():
            self._tell(module, error)
        for module in load.bends.keys() - self._bends:
            for sentence in sentences(load.bends[module]):
                self._log.warning("job module %s %s", module, sentence)
        self._errors = load.errors
        self._bends = set(load.bends)
        if (
            before is not None
            and before.alive
            and load.errors
            and before.load.types.keys() - load.types.keys()
        ):
            self._processes.kill(life)  # the one before knows more, and goes on to check
        else:
            self._life = life
            if before is not None and before.alive:  # what it was asked, it answers
                asyncio.get_running_loop().call_later(CHECK_SECONDS, self._processes.kill, before)

    def _tell(self, module: str, error: str) -> None:
        if self._told.get(module) != error:
            self._told[module] = error
            self._log.error("job module %s failed to load: %s", module, error)

    async def _keep(self, on_load: Callable[[], None]) -> None:
        wait = RETRY_FIRST
        last = time.monotonic()
        while True:
            broken = bool(self._errors) or self._life is None or not self._life.alive
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait if broken else None):
                    await self._look.wait()
            await asyncio.sleep(last + wait - time.monotonic())
            self._look.clear()
            often = time.monotonic() - last < 2 * RETRY_MAX
            before = self._errors
            try:
                await self._load()
            except Exception:  # noqa: BLE001 - the next try may do better
                self._log.exception("the job modules could not be loaded again")
            wait = min(RETRY_MAX, wait * 2) if often and before == self._errors else RETRY_FIRST
            on_load()
            last = time.monotonic()

    def _ended(self, life: LoaderLife, cause: str) -> None:
        asked = life.asked
        life.end(cause)
        if life is self._life and not self._closing:
            if not asked and not life.hung:
                self._fell_late = True
            self._log.error("the process that has loaded the job modules %s", life.cause)
            self._look.set()


def _late(kind: str) -> LoaderUnavailable:
    return LoaderUnavailable(
        f"The check of these parameters of {kind!r} by classes of its own took longer than {CHECK_SECONDS:g} s, "
        "in the process that loads the job modules."
    )
