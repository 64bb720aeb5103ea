"""A pytest plugin: a test that leaves a process, a file, a thread or a descriptor behind fails.

Before each test the guard looks at what there is, fixtures of wider scope included, and after it
again. What is new and does not go within a moment is an error of that test. It knows its own:

- processes by a mark in the environment, and as descendants of this process below none that was
  there before, so those of a server that other tests share are none of its business;
- files in a temporary directory that this process has to itself, and in the folders of the checkout
  that have changed;
- threads of Python, descriptors and the environment of this process: what a test starts later would
  have that too;
- what this process is like (support.likeness): signals, limits, logging, working directory, modules
  and more.

Where tests run side by side nobody can say whose a file in the checkout is: then it is looked at
once, at the end, by whoever started the workers, and what is new there fails the run.

What took the place of something alike is no leak: a test may kill and restart a server that it
shares with others.
"""

import gc
import os
import re
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from xdist.workermanage import WorkerController

from headrace_server.work.linux.process_tree import descendants, has_children
from support.likeness import Likeness

PATIENCE = 10.0
"""Seconds for what is on its way out: a process that was killed, a channel that is being closed."""

MARK = "LEAK_GUARD"
EVENTS_KEPT = 64
"""Event and poll descriptors that may be new: gRPC keeps those of closed channels for the next
ones.
"""
POLLER_SOCKETS = 2
"""Unix sockets that may be new: the pair of gRPC's event loops stays until the next of them is
made.
"""
_STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"})
_EVENTS = ("anon_inode:[eventfd]", "anon_inode:[eventpoll]")
_ITS_OWN = frozenset({MARK, "TMPDIR", "PYTEST_CURRENT_TEST"})
"""Variables that the guard and the test runner set."""
_THREADS_KEPT = ("_poll_wrapper",)
"""Threads that may stay: the one of gRPC's event loops, which goes with the last of them."""


_CHECKOUT: Final = pytest.StashKey["Checkout"]()
_LEFT: Final = pytest.StashKey[list[str]]()


class Found(NamedTuple):
    """What there is beside processes."""

    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[str, str]]
    temporary: frozenset[str]
    checkout: dict[str, int]
    environment: frozenset[tuple[str, str]]
    likeness: Likeness


class Checkout:
    """The folders of a checkout, as they were at first."""

    def __init__(self, root: Path) -> None:
        # A file that is made or removed changes the time of its folder: files need not be looked
        # at.
        self._listed = {folder: _names(folder) for folder in _folders(root)}

    def look(self) -> dict[str, int]:
        """When each folder has changed."""
        return {folder: _changed(folder) for folder in self._listed}

    def new(self, before: dict[str, int]) -> list[str]:
        """The files that were not there at first, a line for each, of the folders that have changed
        since then.
        """
        return [
            f"file {folder}/{name}"
            for folder, changed in self.look().items()
            if changed != before.get(folder)
            for name in _names(folder) - self._listed[folder]
        ]


class Guard:
    """Looks, and compares."""

    def __init__(self, checkout: Checkout | None, temporary: Path) -> None:
        self._temporary = temporary
        self._checkout = checkout
        self.starts = 0
        """How many processes this one has started: reading /proc costs more than most tests do."""
        sys.addaudithook(self._audit)

    def _audit(self, event: str, _arguments: object) -> None:
        self.starts += event in _STARTS

    def look(self) -> Found:
        """What there is now."""
        return Found(
            frozenset(threading.enumerate()),
            frozenset(_descriptors()),
            frozenset(_names(str(self._temporary))),
            self._checkout.look() if self._checkout else {},
            frozenset(item for item in os.environ.items() if item[0] not in _ITS_OWN),
            Likeness(),
        )

    def new(self, before: Found) -> list[str]:
        """What was not there before but processes, a line for each thing."""
        after = self.look()
        threads = [
            f"thread {name}"
            for name in _not_replaced(
                (thread.name for thread in before.threads - after.threads),
                (thread.name for thread in after.threads - before.threads),
            )
            if not any(kept in name for kept in _THREADS_KEPT)
        ]
        gone = before.descriptors - after.descriptors
        fds = [
            f"descriptor -> {target}"
            for target in _not_replaced(
                (target for _, target in gone),
                (target for _, target in _without_grpc(after.descriptors - before.descriptors)),
            )
        ]
        files = [f"file {self._temporary / name}" for name in after.temporary - before.temporary]
        files += self._checkout.new(before.checkout) if self._checkout else []
        changed = {f"environment {name}" for name, _ in before.environment ^ after.environment}
        changed |= {f"changed {what}" for what in before.likeness.changed(str(self._temporary.parent))}
        return sorted({*threads, *fds, *files, *changed})


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Look at the checkout before the first worker starts."""
    if _CHECKOUT not in node.config.stash:
        node.config.stash[_CHECKOUT] = Checkout(node.config.rootpath)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look again when all workers have ended: a file that a test has left in the checkout fails the
    run.
    """
    if checkout := session.config.stash.get(_CHECKOUT, None):
        left = session.config.stash[_LEFT] = checkout.new({})
        if left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name it."""
    if left := config.stash.get(_LEFT, []):
        terminalreporter.section("left behind in the checkout", red=True)
        terminalreporter.write_line("\n".join(left))


@pytest.fixture(scope="session")
def leak_guard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    """The guard of this run, whose temporary directory is its own: others use that of the machine."""
    temporary = tmp_path_factory.mktemp("temporary")
    named = {"TMPDIR": os.environ.get("TMPDIR"), MARK: os.environ.get(MARK)}
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    side_by_side = hasattr(request.config, "workerinput")
    yield Guard(None if side_by_side else Checkout(request.config.rootpath), temporary)
    tempfile.tempdir = None
    _restore(named)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(leak_guard: Guard) -> Iterator[None]:
    """What fixtures of wider scope have made is gone at the end."""
    yield from _watch(leak_guard)


@pytest.fixture(autouse=True)
def nothing_is_left_by_the_test(leak_guard: Guard) -> Iterator[None]:
    """What a test has made is gone after it."""
    yield from _watch(leak_guard)


def _watch(guard: Guard) -> Iterator[None]:
    outer = {MARK: os.environ.get(MARK)}
    mark = os.environ[MARK] = uuid.uuid4().hex
    spared = {process.pid for process in descendants(os.getpid())} if has_children() else set()
    before = guard.look()
    starts = guard.starts
    yield
    _restore(outer)
    deadline = time.monotonic() + PATIENCE
    pause = 0.001
    while new := guard.new(before) + (_processes(spared, mark, outer[MARK]) if guard.starts > starts else []):
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + ", ".join(new), pytrace=False)
        time.sleep(pause)
        pause = min(0.1, pause * 2)
        gc.collect()


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _not_replaced(gone: Iterable[str], new: Iterable[str]) -> list[str]:
    """Of what is new, what did not take the place of something alike: the same words, but for
    numbers.
    """
    room = Counter(map(_alike, gone))
    left = []
    for name in new:
        if room[_alike(name)] > 0:
            room[_alike(name)] -= 1
        else:
            left.append(name)
    return left


def _alike(name: str) -> str:
    return re.sub(r"\d+", "", name)


def _processes(spared: set[int], mark: str, outer: str | None) -> list[str]:
    """Those that bear the mark, and those below this process that are neither spared nor below one
    that is.

    Those that bear the outer mark belong to a fixture of wider scope.
    """
    found = {process.pid for process in descendants(os.getpid(), spared)}
    wanted, others = f"{MARK}={mark}".encode(), f"{MARK}={outer}".encode()
    for name in os.listdir("/proc"):  # noqa: PTH208 - after each test: cheap
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123 - cheap
                said = file.read()
                if wanted in said:
                    found.add(int(name))
                elif outer and others in said:
                    found.discard(int(name))
    found.discard(os.getpid())
    return [f"process {pid} ({_command(pid)})" for pid in found]


def _command(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        return words or _ended(pid)
    return "just gone"


def _ended(pid: int) -> str:
    """A process without a command line: one that has ended, and whose parent has not reaped it."""
    name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    state, parent = rest.split()[:2]
    return f"{name}, state {state}, a child of {'this process' if int(parent) == os.getpid() else parent}"


def _descriptors() -> Iterator[tuple[str, str]]:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - after each test: cheap
        if int(name) <= 2:  # the standard streams, which pytest bends
            continue
        with suppress(OSError):  # that of the listing itself
            yield name, os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - cheap


def _without_grpc(opened: frozenset[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that are not to be taken for what gRPC keeps."""
    events = {entry for entry in opened if entry[1] in _EVENTS}
    pairs = {entry for entry in opened if entry[1].startswith("socket:") and _is_unix(int(entry[0]))}
    kept: set[tuple[str, str]] = set()
    if len(events) <= EVENTS_KEPT:
        kept |= events
    if len(pairs) <= POLLER_SOCKETS:
        kept |= pairs
    return set(opened) - kept


def _is_unix(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return found.family is socket.AF_UNIX
    except OSError:  # closed meanwhile
        return False


def _folders(root: Path) -> Iterator[str]:
    """The folders of the checkout; hidden ones and bytecode are the business of tools."""
    for folder, names, _files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".") and name != "__pycache__"]
        yield folder


_WRITTEN_BY_HAND = (".md", ".proto", ".py", ".toml")
"""No test leaves such a file, and somebody may write one while the tests run."""


def _names(folder: str) -> set[str]:
    return {
        name
        for name in os.listdir(folder)  # noqa: PTH208 - cheap
        if not name.startswith(".") and name != "__pycache__" and not name.endswith(_WRITTEN_BY_HAND)
    }


def _changed(folder: str) -> int:
    return os.stat(folder).st_mtime_ns  # noqa: PTH116 - cheap
