"""The jobs that tests submit. They tell what they do by files, so that a test waits for facts."""

import asyncio
import ctypes
import itertools
import os
import resource as resource_limits
import signal
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from headrace.jobs import Job, JobContext, job, resource
from headrace.values import File, Reference

PAUSE = 0.005


def append(path: str, text: str) -> None:
    """Add a line to a file, synced: it is there whatever happens next."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{text}\n".encode())
    os.fsync(descriptor)
    os.close(descriptor)


@job("test.echo")
def echo(ctx: JobContext, **values: Any) -> dict[str, Any]:
    """Answer the parameters."""
    del ctx
    return values


@job("test.noop")
def noop(ctx: JobContext) -> None:
    """Do nothing."""


@job("test.trace")
def trace(ctx: JobContext) -> str:
    """Answer the trace that it belongs to."""
    return ctx.traceparent


@job("test.typed")
def typed(
    ctx: JobContext,
    count: int,
    ratio: float = 0.5,
    when: date | None = None,
    at: datetime | None = None,
    span: timedelta | None = None,
    entity: Reference | None = None,
    names: list[str] | None = None,
) -> dict[str, Any]:
    """Take typed parameters.

    Answers what the function was called with.
    """
    return {
        "count": count, "ratio": ratio, "when": when, "at": at, "span": span, "entity": entity, "names": names,
        "by_param": ctx.param("count", int), "missing": ctx.param("missing", str, "default"),
    }  # fmt: skip


@job("test.record")
def record(ctx: JobContext, log: str, gate: str = "", tag: str = "") -> str:
    """Write start and end of each run to a file; between them wait until a gate exists."""
    append(log, f"start {tag or ctx.job_id} {ctx.attempt}")
    while gate and not Path(gate).exists():
        ctx.check_stop()
        time.sleep(PAUSE)
    append(log, f"end {tag or ctx.job_id} {ctx.attempt}")
    return tag


@job("test.fail")
def fail(ctx: JobContext, text: str = "no such file") -> None:
    """Raise."""
    with ctx.step("read"):
        raise ValueError(text)


@job("test.flaky")
def flaky(ctx: JobContext, until: int) -> int:
    """Raise until an attempt."""
    if ctx.attempt < until:
        raise RuntimeError(f"attempt {ctx.attempt}")
    return ctx.attempt


@job("test.declare")
def declare(ctx: JobContext, how: str) -> None:
    """End as told: fail, retry, abort or succeed."""
    match how:
        case "fail":
            ctx.fail("QUOTA", "the quota is used up")
        case "retry":
            ctx.fail("BUSY", "try again", retry=True)
        case "abort":
            ctx.abort("not needed any more")
        case "succeed":
            ctx.succeed({"early": True})
    raise AssertionError("not reached")


@job("test.report")
def report(ctx: JobContext, total: int = 10, gate: str = "") -> File:
    """Report progress, messages and results."""
    ctx.message("info", "begun")
    ctx.set_total(total)
    for _ in range(total):
        ctx.advance()
    ctx.set_result("rows", total)
    while gate and not Path(gate).exists():
        time.sleep(PAUSE)
    ctx.message("warning", "nearly done")
    return File("file:///data/report.csv", media_type="text/csv", size=12)


@job("test.far")
def far(ctx: JobContext, gate: str) -> str:
    """Says that it will end beyond every calendar, then what no message can carry; returns how that
    was refused.
    """
    ctx.set_progress(1, 2**63 - 1, "far")
    while not Path(gate).exists():
        time.sleep(0.005)
    try:
        ctx.set_total(2**63)
    except ValueError as error:
        return str(error)
    return "taken"


@job("test.context")
def context(ctx: JobContext) -> dict[str, Any]:
    """Answer what the context says."""
    return {
        "owner": ctx.owner, "session_id": ctx.session_id, "tenant": ctx.tenant, "attempt": ctx.attempt,
        "description": ctx.description, "labels": dict(ctx.labels), "type": ctx.type, "fence": ctx.fence,
        "nice": os.nice(0), "pid": os.getpid(), "job_id": ctx.job_id,
    }  # fmt: skip


@job("test.workspace", workspace=True)
def workspace(ctx: JobContext, how: str = "return", note: str = "") -> str:
    """Use the workspace, and end in some way."""
    folder = ctx.workspace
    (folder / "data").write_text("x")
    if note:
        append(note, str(folder))
    match how:
        case "raise":
            raise RuntimeError("with a workspace")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            while True:
                ctx.check_stop()
                time.sleep(PAUSE)
    return str(folder)


@job("test.logs")
def logs(ctx: JobContext, rows: int) -> None:
    """Log a line that says what its record carries."""
    identity = ctx.log.extra or {}
    ctx.log.warning("slow %s %s", identity["job_id"], identity["attempt"], rows=rows)


@job("test.output")
def output(ctx: JobContext) -> None:
    """Write to stdout and stderr in four ways."""
    del ctx
    print("from print")
    os.write(2, b"from a descriptor\n")
    subprocess.run([sys.executable, "-c", "print('from a subprocess')"], check=True)
    libc = ctypes.CDLL(None)
    libc.printf(b"from C\n")
    libc.fflush(None)


@job("test.flood")
def flood(ctx: JobContext, lines: int = 100_000) -> None:
    """Write more than is kept."""
    del ctx
    for number in range(lines):
        print(f"line {number} " + "x" * 80)


@job("test.flood_for_ever")
def flood_for_ever(ctx: JobContext, what: str) -> None:
    """Say more than anybody could keep, until stopped."""
    for number in itertools.count():
        match what:
            case "progress":
                ctx.set_progress(number, message="x" * 1000)
            case "messages":
                ctx.message("info", f"{number} " + "x" * 1000)
            case "stdout":
                print(number, "x" * 1000)
            case "results":
                ctx.set_result("latest", "x" * 1000)


@job("test.die")
def die(ctx: JobContext, how: str) -> None:
    """End the worker process."""
    ctx.message("info", "about to die")
    match how:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)


@job("test.hold")
def hold(ctx: JobContext, started: str, gate: str) -> None:
    """Note the process, whole or not at all, and wait for a gate."""
    del ctx
    part = Path(f"{started}.part")
    part.write_text(str(os.getpid()))
    part.rename(started)
    while not Path(gate).exists():
        time.sleep(PAUSE)


@job("test.pause")
def pause(ctx: JobContext) -> None:
    """Take 20 milliseconds."""
    del ctx
    time.sleep(0.02)


@job("test.memory")
def memory(ctx: JobContext) -> None:
    """Take all the memory that a limit allows."""
    del ctx
    before = resource_limits.getrlimit(resource_limits.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource_limits.getpagesize()
    resource_limits.setrlimit(resource_limits.RLIMIT_AS, (used + (64 << 20), before[1]))
    kept = []
    try:
        while True:
            kept.append(bytearray(1 << 20))
    finally:
        kept.clear()
        resource_limits.setrlimit(resource_limits.RLIMIT_AS, before)


@job("test.litter", workspace=True)
def litter(ctx: JobContext, returning: str, files: int) -> None:
    """Return with a workspace whose removal takes a while."""
    for number in range(files):
        (ctx.workspace / str(number)).touch()
    append(returning, str(ctx.workspace))


@job("test.stubborn")
def stubborn(ctx: JobContext, started: str, grandchild: str = "") -> None:
    """Ignore every signal that can be ignored, in C, with a child in a session of its own."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if grandchild:
        spawn(grandchild)
    append(started, ctx.job_id)
    while True:
        sum(range(10**8))


def spawn(note: str) -> None:
    """Start a process that ignores signals in a session of its own, and note its pid."""
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    append(note, str(process.pid))


@job("test.obedient")
def obedient(ctx: JobContext, started: str, cleaned: str = "") -> None:
    """Work until told to stop, then clean up."""
    append(started, ctx.job_id)
    try:
        while not ctx.stop_requested:
            time.sleep(PAUSE)
        ctx.check_stop()
    finally:
        if cleaned:
            append(cleaned, ctx.stop_reason)


@job("test.sleeper")
def sleeper(ctx: JobContext, started: str) -> None:
    """Sleep without looking at the context: only SIGTERM wakes it."""
    append(started, ctx.job_id)
    time.sleep(600)


@job("test.insist")
def insist(ctx: JobContext, started: str) -> None:
    """Finish the work although a stop has come."""
    append(started, ctx.job_id)
    while not ctx.stop_requested:
        time.sleep(PAUSE)
    ctx.succeed("saved")


@job("test.unaware")
def unaware(ctx: JobContext, started: str, gate: str) -> str:
    """Never look at the context; return when a gate exists."""
    append(started, ctx.job_id)
    while not Path(gate).exists():
        time.sleep(PAUSE)
    return "done"


@job("test.orphan")
def orphan(ctx: JobContext, note: str) -> None:
    """Return at once and leave a process in a session of its own behind."""
    del ctx
    spawn(note)


@job("test.async")
async def asynchronous(ctx: JobContext, started: str = "") -> str:
    """Await; for ever when it is to be stopped."""
    if started:
        append(started, ctx.job_id)
        await asyncio.sleep(600)
    await asyncio.sleep(0)
    return "awaited"


@job("test.unserializable")
def unserializable(ctx: JobContext) -> object:
    """Return what no Value can hold."""
    del ctx
    return object()


@job("test.large")
def large(ctx: JobContext, size: int) -> bytes:
    """Return many bytes."""
    del ctx
    return b"x" * size


@job("test.timeout", attempt_timeout=timedelta(seconds=0.3))
def timeout(ctx: JobContext) -> None:
    """Sleep longer than allowed."""
    del ctx
    time.sleep(600)


class Summer(Job):
    """A job as a class."""

    type = "test.class"

    def run(self, ctx: JobContext, numbers: list[int]) -> int:
        """Answer the sum."""
        ctx.set_progress(1, total=1, message="added")
        return sum(numbers)


@resource
def counter() -> dict[str, int]:
    """Make an object once for each worker."""
    return {"made_in": os.getpid(), "used": 0}


@job("test.resource")
def with_resource(ctx: JobContext) -> dict[str, int]:
    """Use it."""
    found: dict[str, int] = ctx.resources.counter
    found["used"] += 1
    return dict(found)


@job("test.parent")
def parent(ctx: JobContext) -> str:
    """Run a child by a client that is told of no address."""
    from headrace import Client  # noqa: PLC0415 - most workers need no gRPC

    with Client(tenant=ctx.tenant) as client:
        return str(client.submit("test.noop").wait(30).status)
