"""What the kernel was asked for, and in which order: by strace."""

import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.server import COMMAND, Server

pytestmark = pytest.mark.slow

CALLS = "fdatasync,fsync,pwrite64,pwritev,write,sendmsg,sendto,recvmsg,recvfrom,read"
LINE = re.compile(r"(\d+) +(\d+\.\d+) (?:<\.\.\. )?(\w+)(\(| resumed>)(.*)")


class Call(NamedTuple):
    """A system call: what it was called with and answered, and the places of both in the trace."""

    name: str
    text: str
    began: int
    ended: int


def read_trace(path: Path) -> list[Call]:
    """The calls of all threads, by their ends; one that never returned is left out."""
    begun: dict[tuple[str, str], tuple[int, str]] = {}
    calls = []
    for place, line in enumerate(path.read_text(errors="replace").splitlines()):
        match = LINE.match(line)
        if match is None:
            continue
        thread, _, name, how, text = match.groups()
        if how == "(" and text.endswith("<unfinished ...>"):
            begun[thread, name] = (place, text)
            continue
        first, before = (place, "") if how == "(" else begun.pop((thread, name), (place, ""))
        calls.append(Call(name, before + text, first, place))
    return calls


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Call], str, str]]:
    """The calls of a server that was given one job, what marks the job, and its id."""
    if shutil.which("strace") is None:
        pytest.fail("This test needs the package strace: install it.")
    folder = tmp_path_factory.mktemp("traced")
    output = folder / "trace"
    # -D: the server stays the child of the test, and ends by its signals.
    tracer = ["strace", "-D", "-f", "--seccomp-bpf", "-q", "-ttt", "-yy", "-s", "70000", "-o", str(output)]
    server = Server(folder, command=[*tracer, "-e", f"trace={CALLS}", *COMMAND], workers=1).start()
    mark = uuid.uuid4().hex
    try:
        with server.client() as client:
            job = client.submit("test.noop", description=mark)
            job.wait(30)
    finally:
        server.close()
    yield read_trace(output), mark, job.job_id
    output.unlink()


def is_sync(call: Call) -> bool:
    """Whether the log of the database was brought to the disk."""
    return call.name in {"fdatasync", "fsync"} and "headrace.db-wal>" in call.text and "= 0" in call.text


def writes(mark: str) -> Callable[[Call], bool]:
    """Whether something marked was written to the log of the database."""
    return lambda call: (
        call.name.startswith("pwrite") and "headrace.db-wal>" in call.text and mark in call.text
    )


def in_order(calls: list[Call], *steps: Callable[[Call], bool]) -> list[Call]:
    """The first calls that are these steps, each begun after the one before has ended."""
    found: list[Call] = []
    for number, step in enumerate(steps):
        place = found[-1].ended if found else -1
        following = [call for call in calls if call.began > place and step(call)]
        assert following, f"nothing is step {number + 1} behind {found[-1:]}"
        found.append(min(following, key=lambda call: call.began))
    return found


def on_tcp(call: Call) -> bool:
    """Whether it was on gRPC's connection."""
    return "<TCP" in call.text


def test_fdatasync_comes_before_the_answer(trace: tuple[list[Call], str, str]) -> None:
    """Between a submit's arrival and its answer its rows are written to the log and synced
    (acceptance 61).
    """
    calls, mark, job_id = trace
    answers = [
        c for c in calls if c.name in {"sendmsg", "sendto", "write"} and on_tcp(c) and job_id in c.text
    ]
    first_answer = min(answers, key=lambda call: call.began)
    in_order(
        calls,
        lambda c: c.name in {"recvmsg", "recvfrom", "read"} and on_tcp(c) and mark in c.text,
        writes(mark),
        is_sync,
        lambda c: c is first_answer,
    )
    assert mark in first_answer.text


def test_fdatasync_comes_before_the_start(trace: tuple[list[Call], str, str]) -> None:
    """The frame that starts a job goes to the worker after its permit was written to the log and
    synced.
    """
    calls, mark, job_id = trace
    frame = re.compile(rf'<UNIX[^>]*>\S*, (?:\{{.*iov_base=)?"\[\d+,\{{.*\\"{job_id}\\"')
    sent = min(
        (c for c in calls if c.name in {"sendmsg", "sendto"} and frame.search(c.text)), key=lambda c: c.began
    )
    permit = [call for call in calls if call.ended < sent.began and writes(mark)(call)][-1]
    in_order(calls, lambda c: c is permit, is_sync, lambda c: c is sent)
