"""Workers: what they need of the kernel, and one of them, started and ended."""

import asyncio
import contextlib
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from headrace_server.doctor.finding import Finding, ok, problem, warning
from headrace_server.domain.change import Message, Outcome
from headrace_server.work.executor import ProgressReport, RunKey, Types
from headrace_server.work.linux import process_tree
from headrace_server.work.pool.pool import Pool

START_MAX: Final = 30.0
"""Seconds for one worker without any module; a tenth of one is usual."""

FDS_OWN: Final = 64
"""Descriptors of a server without workers and callers.

They are for database, listener, event loop and libraries; half are spare.
"""
FDS_WORKER: Final = 8
"""Descriptors for each worker, twice over while it is being replaced."""
FDS_CALLERS: Final = 256
"""One for each connection of a client; all watches of one connection share it."""


def look(count: int) -> Iterator[Finding]:
    """The kernel, one worker, descriptors. count: the workers that are to be."""
    if count == 0:
        yield ok("workers", "None are wanted (workers 0): this server takes jobs and runs none.")
    elif lacking := _lacking():
        yield problem("workers", lacking)
    else:
        yield _one()
    yield _descriptors(count)


def _lacking() -> str:
    """A sentence about the first thing that the kernel does not give, or ""."""
    if sys.platform != "linux":
        return f"They need Linux, and this is {sys.platform}."
    needs: dict[str, Callable[[], object]] = {
        "pidfd_open (Linux 5.3)": lambda: os.close(os.pidfd_open(os.getpid())),
        "sockets that keep records (SOCK_SEQPACKET)": _seqpacket,
        "prctl PR_SET_CHILD_SUBREAPER": process_tree.become_subreaper,
        "memfd_create": lambda: os.close(os.memfd_create("headrace-doctor")),
        "/proc with the processes of this user": lambda: os.stat(f"/proc/{os.getpid()}/stat"),  # noqa: PTH116 - as cheap
    }
    for name, try_it in needs.items():
        try:
            try_it()
        except OSError as error:
            return f"They need {name}, which is refused here ({error.strerror}): allow it in the kernel or the sandbox."
    return ""


def _seqpacket() -> None:
    for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
        end.close()


class _Waiting:
    """A listener that waits for the one slot."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.lost = ""

    def slot_ready(
        self,
        slot: str,  # noqa: ARG002
        types: Types,  # noqa: ARG002
        errors: Mapping[str, str],  # noqa: ARG002
        concurrency: Mapping[str, int],  # noqa: ARG002
    ) -> None:
        self.heard.set()

    def slot_lost(self, slot: str, begun: Sequence[RunKey], unbegun: Sequence[RunKey], cause: str) -> None:  # noqa: ARG002
        self.lost = self.lost or cause
        self.heard.set()

    def slot_closing(self, slot: str) -> None: ...
    def refused(self, slot: str, run: RunKey) -> None: ...
    def begun(self, slot: str, run: RunKey) -> None: ...
    def progressed(self, slot: str, run: RunKey, progress: ProgressReport) -> None: ...
    def logged(self, slot: str, run: RunKey, messages: Sequence[Message], dropped: int) -> None: ...
    def result_set(self, slot: str, run: RunKey, name: str, value: str) -> None: ...
    def finished(self, slot: str, run: RunKey, outcome: Outcome) -> None: ...


def _one() -> Finding:
    try:
        with tempfile.TemporaryDirectory(prefix="headrace-doctor-") as folder:
            trouble = asyncio.run(_start_one(Path(folder)))
    except OSError as error:
        trouble = error.strerror or str(error)
    if trouble:
        return problem("workers", f"A worker could not be started here ({trouble}): see what forbids it.")
    return ok("workers", "One was started and ended: fork, signals and the clearing up behind it work here.")


async def _start_one(folder: Path) -> str:
    """Start a pool of one worker and end it; what went wrong, or ""."""
    waiting = _Waiting()
    pool = Pool(listener=waiting, size=1, modules=(), entry_points=False, workspace_root=folder)
    await pool.start()
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(waiting.heard.wait(), START_MAX)
        return waiting.lost or ("" if waiting.heard.is_set() else f"it was not ready after {START_MAX:g} s")
    finally:
        await pool.close()


def _descriptors(count: int) -> Finding:
    limit, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    own = FDS_OWN + FDS_WORKER * count
    enough = f"for {count} workers" if count else "for a server without workers"
    if limit == resource.RLIM_INFINITY or limit >= own + FDS_CALLERS:
        return ok("descriptors", f"A process may open {limit:,} files: enough {enough} and their callers.")
    way_out = f"raise it to {own + FDS_CALLERS:,} or more (ulimit -n, LimitNOFILE)"
    if limit < own:
        return problem("descriptors", f"A process may open {limit:,} files, too few {enough}: {way_out}.")
    return warning(
        "descriptors",
        f"A process may open {limit:,} files, which leaves {limit - own:,} for connections: {way_out}.",
    )
