"""A server that kills itself with SIGKILL at a chosen moment in the life of one job.

    python -m support.phases serve        the product, with store, dispatcher and pool replaced through app.py

Nothing is changed but that each part looks, at its moment, whether it is the one that was chosen:

    submit            claim             start permit             frame      begun      …   finished           end
    ──┬──COMMIT──┬──────COMMIT──┬─────────┬──COMMIT──┬─────────────┬──────────┬───────┬───────┬──┬──COMMIT──┬──
    STORING   STORED         CLAIMED  PERMITTING  PERMITTED       SENT      BEGUN  RUNNING    │ ENDING    ENDED
                                                                          STOPPING        FINISHING

The choice is a file with a phase and the description of a job. It is removed before the kill, so
the server that is started again goes on. A claim and its permit share one transaction in the
product where a child is idle; for CLAIMED, PERMITTING and APART they are asked for one after the
other, as it is when a child is being started.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, event
from typer import Typer

from headrace.jobs import RunInfo
from headrace_server.__main__ import register
from headrace_server.app import App
from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import Status
from headrace_server.domain.ports.claims import Claimed, ClaimRequest
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.store.store import SqlStore
from headrace_server.work.dispatch.dispatcher import Dispatcher
from headrace_server.work.executor import RunKey
from headrace_server.work.pool.pool import Pool
from support.server import Server

COMMAND = (sys.executable, "-m", "support.phases")
CHOICE = Path("killed-at")
"""In the folder of the server, which is its working directory."""


class Phase(StrEnum):
    """Where a job stands when the server dies."""

    STORING = "its submit is written, not committed"
    STORED = "its submit is committed, not answered"
    STARTING = "its submit, its claim and its permit are committed together, nobody told"
    CLAIMED = "its claim is committed, its permit not"
    PERMITTING = "its permit is written, not committed"
    PERMITTED = "its permit is committed, its frame not sent"
    SENT = "its frame is sent, nothing heard"
    BEGUN = "its child has said begun"
    RUNNING = "its code has said something"
    STOPPING = "its stop is committed and flagged"
    FINISHING = "its child has said finished, nothing is written"
    ENDING = "its end is written, not committed"
    ENDED = "its end is committed, nobody told"
    APART = "claims and permits are committed apart, and nobody dies"


class Doomed(Server):
    """A server that can be told when to die."""

    def __init__(self, folder: Path, *, command: Sequence[str] = COMMAND, **settings: object) -> None:
        super().__init__(folder, "support.jobs,support.chaos_jobs", command=command, **settings)

    def choose(self, phase: Phase, description: str = "") -> None:
        """Let it die when the job with this description is there."""
        draft = self.folder / "draft"
        draft.write_text(f"{phase.name} {description}")
        draft.rename(self.folder / CHOICE)

    def spare(self) -> None:
        """Take the choice back."""
        (self.folder / CHOICE).unlink()


# What runs in the server


def chosen() -> tuple[Phase | None, str]:
    """The phase and the description that were chosen."""
    try:
        name, _, description = CHOICE.read_text().partition(" ")
    except FileNotFoundError:
        return None, ""
    return Phase[name], description


def reach(phase: Phase, description: str) -> None:
    """Die, if this is the moment."""
    if chosen() == (phase, description):
        with suppress(FileNotFoundError):  # it was spared just now
            CHOICE.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


class DoomedStore(SqlStore):
    """Dies before or after a COMMIT."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        """Open the database, and look at each transaction before its COMMIT."""
        store = super().open(url, **options)
        event.listen(store._engines[0], "commit", _before_commit)
        store.listeners.insert(0, _AfterCommit())
        return store

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Claim; without permits where that is chosen."""
        return await super().claim(_as_chosen(request))

    def claim_along(self, request: ClaimRequest) -> Awaitable[list[Claimed]]:
        """Likewise; nothing where a submit is to be alone in its commit."""
        if chosen()[0] in (Phase.STORING, Phase.STORED):
            request = replace(request, slots=[])
        return super().claim_along(_as_chosen(request))


class _AfterCommit(CommitListener):
    """Hears of each commit first, before any caller is answered."""

    def committed(self, changes: Sequence[Change]) -> None:
        """Die behind a COMMIT."""
        for change in changes:
            job = change.job
            if any(entry.kind is EventKind.CREATED for entry in change.events):
                reach(Phase.STORED, job.description)
                if job.status is Status.RUNNING:
                    reach(Phase.STARTING, job.description)
            if job.status is Status.TO_BE_RUN:
                reach(Phase.CLAIMED, job.description)
            if job.status.final:
                reach(Phase.ENDED, job.description)


def _as_chosen(request: ClaimRequest) -> ClaimRequest:
    if chosen()[0] in (Phase.CLAIMED, Phase.PERMITTING, Phase.APART):
        return replace(request, slots=[replace(slot, permit=False) for slot in request.slots])
    return request


def _before_commit(connection: Connection) -> None:
    phase, description = chosen()
    if phase not in (Phase.STORING, Phase.PERMITTING, Phase.ENDING):
        return
    driver: Any = connection.connection.dbapi_connection
    found = driver.execute("SELECT status FROM job WHERE description = ?", (description,)).fetchone()
    if found is None:
        return
    status = Status(found[0])
    if phase is Phase.STORING:
        reach(Phase.STORING, description)
    elif status is Status.RUNNING:
        reach(Phase.PERMITTING, description)
    elif status.final:
        reach(Phase.ENDING, description)


class DoomedDispatcher(Dispatcher):
    """Dies at what a child says."""

    def begun(self, slot: str, run: RunKey) -> None:
        """The job's code is about to be called."""
        super().begun(slot, run)
        self._reach(Phase.BEGUN, run)

    def logged(self, slot: str, run: RunKey, messages: Sequence[Message], dropped: int) -> None:
        """The job's code has said something."""
        self._reach(Phase.RUNNING, run)
        super().logged(slot, run, messages, dropped)

    def finished(self, slot: str, run: RunKey, outcome: Outcome) -> None:
        """The job's code has ended."""
        self._reach(Phase.FINISHING, run)
        super().finished(slot, run, outcome)

    def _reach(self, phase: Phase, run: RunKey) -> None:
        active = self.slot_table.runs.get(run)
        if active is not None:
            reach(phase, active.job.description)


class DoomedPool(Pool):
    """Dies before or after a frame, and once a stop is flagged."""

    def send(self, slot: str, run: RunInfo) -> None:
        """Hand a run over."""
        reach(Phase.PERMITTED, run.description)
        super().send(slot, run)
        reach(Phase.SENT, run.description)

    def flag_stop(self, slot: str, run: RunKey, reason: str) -> None:
        """Flag a stop: its reason names the job."""
        super().flag_stop(slot, run, reason)
        reach(Phase.STOPPING, reason)


def serve(*, store: type[SqlStore] = DoomedStore, dispatcher: type[Dispatcher] = DoomedDispatcher) -> None:
    """The server's commands, on other parts."""
    App.make_store = staticmethod(store.open)
    App.make_dispatcher = dispatcher
    App.make_pool = DoomedPool
    commands = Typer(no_args_is_help=True)
    register(commands)
    commands()


if __name__ == "__main__":
    serve()
