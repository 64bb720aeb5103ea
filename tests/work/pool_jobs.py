"""The jobs that the tests of the pool run.

They tell what they do by files, so that a test waits for facts.
"""

import _thread
import asyncio
import atexit
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from headrace.jobs import JobContext, job, resource

PAUSE = 0.005


def note(path: str, text: object) -> None:
    """Make a file with a text, whole or not at all."""
    part = Path(f"{path}.part")
    part.write_text(str(text))
    part.rename(path)


def wait_for(path: str) -> None:
    """Wait until a file exists."""
    while not Path(path).exists():
        time.sleep(PAUSE)


@job("noop")
def noop(ctx: JobContext) -> None:
    """Do nothing."""


@job("babble")
def babble(ctx: JobContext, text: str, go: str) -> None:
    """Say something to the server that nobody understands, over the socket of its worker."""
    del ctx
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_socket():
            with socket.socket(fileno=os.dup(int(entry.name))) as line:
                if line.type == socket.SOCK_SEQPACKET:
                    line.send(text.encode())
    wait_for(go)


@job("nap")
def nap(ctx: JobContext) -> None:
    """Take two milliseconds."""
    del ctx
    time.sleep(0.002)


@job("echo")
def echo(ctx: JobContext, **values: Any) -> dict[str, Any]:
    """Answer the parameters."""
    del ctx
    return values


@job("worker")
def worker(ctx: JobContext) -> dict[str, int]:
    """Answer facts about the process."""
    del ctx
    fds = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return {"pid": os.getpid(), "fds": fds, "threads": threading.active_count()}


@job("append")
def append(ctx: JobContext, path: str) -> None:
    """Add the job's id to a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{ctx.job_id}\n".encode())
    os.close(descriptor)


@job("gate")
def gate(ctx: JobContext, started: str, path: str) -> None:
    """Say that it has started, then wait for a file."""
    note(started, os.getpid())
    del ctx
    wait_for(path)


@job("fall")
def fall(ctx: JobContext, how: str) -> None:
    """End, and perhaps the process with it."""
    ctx.message("info", "about to fall")
    match how:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            bytearray(1 << 62)
        case "sys.exit":
            sys.exit(4)
        case "interrupt":
            raise KeyboardInterrupt


@job("stubborn")
def stubborn(ctx: JobContext, started: str) -> None:
    """Stay in C code, where no signal handler of Python runs."""
    del ctx
    note(started, os.getpid())
    sum(range(10**15))


@job("sleeper")
def sleeper(ctx: JobContext, started: str) -> None:
    """Wait in Python, without a look at the context."""
    del ctx
    note(started, os.getpid())
    wait_for("/nonexistent")


@job("async-sleeper")
async def async_sleeper(ctx: JobContext, started: str) -> None:
    """Await what never comes."""
    del ctx
    note(started, os.getpid())
    await asyncio.Event().wait()


@job("polite")
def polite(ctx: JobContext, started: str) -> str:
    """Work until it is told to stop; answer the reason."""
    note(started, os.getpid())
    while not ctx.stop_requested:
        time.sleep(PAUSE)
    return ctx.stop_reason


@job("threaded")
def threaded(ctx: JobContext, started: str) -> None:
    """Leave a thread that goes on when the job has ended."""
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    note(started, os.getpid())
    while not ctx.stop_requested:
        time.sleep(PAUSE)


@job("grandchildren", workspace=True)
def grandchildren(ctx: JobContext, pids: str, stay: bool = False) -> None:
    """Start processes that try to get away: a session of their own, an orphan's orphan, an empty
    environment.
    """
    ctx.workspace.joinpath("file").write_text("left")
    shell = "setsid sleep 1000 & echo $!; (setsid sleep 1000 & echo $!); exec sleep 1000"
    process = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, env={}, start_new_session=True)
    assert process.stdout is not None
    found = [process.pid, int(process.stdout.readline()), int(process.stdout.readline())]
    note(pids, " ".join(map(str, found)))
    if stay:
        process.wait()


@job("write")
def write(ctx: JobContext) -> None:
    """Write in every way there is."""
    del ctx
    print("print")
    print("error", file=sys.stderr)
    os.write(1, b"os.write\n")
    subprocess.run(["echo", "subprocess"], check=True)
    libc = ctypes.CDLL(None)
    libc.printf(b"printf\n")
    sys.stdout.write("without end")


@job("speak")
def speak(ctx: JobContext, word: str) -> None:
    """Say a word on both streams, in one way or another."""
    if int(word[-1]) % 2:
        print(word)
        print(word, file=sys.stderr)
    else:
        subprocess.run(["sh", "-c", f"echo {word}; echo {word} >&2"], check=True)
    del ctx


@job("bytes")
def write_bytes(ctx: JobContext) -> None:
    """Write what is no text, and a line of 10,000 characters."""
    del ctx
    os.write(1, b"\xff\0nul\n" + "ä".encode() * 10_000 + b"\n")


@job("flood")
def flood(ctx: JobContext, lines: int) -> None:
    """Write lines of 100 bytes."""
    del ctx
    block = (b"x" * 99 + b"\n") * 1000
    for _ in range(lines // 1000):
        left = memoryview(block)
        while left:
            left = left[os.write(1, left) :]


@job("spoil", workspace=True)
def spoil(ctx: JobContext) -> None:
    """Bend what the next job needs."""
    sys.stdout.close()
    os.close(2)
    os.chdir(ctx.workspace)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@job("report")
def report(ctx: JobContext, steps: int) -> None:
    """Report much progress, some messages and a result."""
    ctx.set_total(steps)
    for _ in range(steps):
        ctx.advance()
    for number in range(100):
        ctx.message("info", f"message {number}")
    ctx.set_result("half", steps // 2)


@job("pending")
def pending(ctx: JobContext, seen: str) -> None:
    """Report twice at once, then be silent until somebody has seen it."""
    ctx.set_progress(1, 10)
    ctx.set_progress(2, 10)
    ctx.message("info", "last words")
    wait_for(seen)


@job("hang_at_exit")
def hang_at_exit(ctx: JobContext) -> None:
    """Leave a handler that hangs when the process ends, with every signal blocked."""

    def hang() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(1000)

    del ctx
    atexit.register(hang)


@job("replace_workspace", workspace=True)
def replace_workspace(ctx: JobContext, target: str, how: str) -> None:
    """Put a link in the place of the workspace, of its bin, or into it; then end in some way."""
    top = ctx.workspace
    place, end = how.split()
    if place == "instead":
        top.rename(top.with_name("moved"))
        top.symlink_to(target)
    elif place == "bin":
        top.with_name(f"{top.name}.bin").symlink_to(target)
    else:
        (top / "below").symlink_to(target)
    if end == "dies":
        os._exit(3)


@job("workspace", workspace=True)
def workspace(ctx: JobContext, path: str, how: str) -> None:
    """Fill the workspace with what is hard to remove, then end in some way."""
    top = ctx.workspace
    (top / "sub").mkdir()
    (top / "sub" / "file").write_text("x")
    (top / "sub").chmod(0o500)
    os.chdir(top)
    for _ in range(30):
        Path("deep" * 40).mkdir()
        os.chdir("deep" * 40)
    note(path, top)
    if how == "raise":
        raise ValueError("as asked")
    if how == "exit":
        os._exit(1)
    if how == "stay":
        wait_for("/nonexistent")


@job("hog")
def hog(ctx: JobContext) -> int:
    """Keep 64 MiB for ever."""
    del ctx
    globals()["_kept"] = b"x" * (64 << 20)
    return os.getpid()


@job("fork")
def fork(ctx: JobContext) -> int:
    """Fork, and let the new process come back from the job too."""
    del ctx
    return os.fork()


LOCK = threading.Lock()


@job("locked")
def locked(ctx: JobContext, started: str = "", how: str = "") -> int:
    """Hold a lock of the process: until a signal comes, or until a stop is seen at the context."""
    with LOCK:
        if started:
            note(started, os.getpid())
        while how == "sleep":
            time.sleep(PAUSE)
        while how == "look":
            ctx.check_stop()
            time.sleep(PAUSE)
        if how == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if how == "alarm":
            _hurry()
    return os.getpid()


@job("grouped")
async def grouped(ctx: JobContext, started: str, tasks: int) -> None:
    """Look for a stop in one of some coroutines that belong together; the others are in the middle
    of something.
    """
    note(started, os.getpid())

    async def look() -> None:
        while True:
            ctx.check_stop()
            await asyncio.sleep(PAUSE)

    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(asyncio.sleep(1000))
        if tasks:
            group.create_task(look())
        else:
            await look()


def _hurry() -> None:
    """End a call that takes too long, as the job itself has it: everything is as before then, but
    for what was cut off.
    """

    def late(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    with contextlib.suppress(TimeoutError):
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        time.sleep(1000)
    assert signal.getsignal(signal.SIGALRM) is late
    signal.signal(signal.SIGALRM, before)


@resource
def eager() -> ThreadPoolExecutor:
    """A thread pool that has its thread when it is made."""
    made = ThreadPoolExecutor(1)
    made.submit(int).result()
    return made


@resource(threads=True)
def lazy() -> ThreadPoolExecutor:
    """A thread pool that starts its thread when it is used."""
    return ThreadPoolExecutor(1)


@resource("lazy-unsaid")
def lazy_unsaid() -> ThreadPoolExecutor:
    """The same, and does not say so."""
    return ThreadPoolExecutor(1)


@job("leave-threads")
def leave_threads(ctx: JobContext, how: str) -> int:
    """Leave a thread that speaks when the next job may run, or one that is not this job's own."""
    match how:
        case "threading":
            threading.Thread(target=speak_late, daemon=True).start()
        case "low":
            _thread.start_new_thread(speak_late, ())
        case "short":
            threading.Thread(target=time.sleep, args=(PAUSE,)).start()
        case resource_name:
            getattr(ctx.resources, resource_name).submit(int).result()
    return os.getpid()


def speak_late() -> None:
    """Speak for as long as the process lives."""
    while True:
        print("of the run before")
        time.sleep(0.0005)


@job("alone", fresh=True)
def alone(ctx: JobContext) -> int:
    """Run in a process in which nothing has run."""
    del ctx
    return os.getpid()


@job("alone-polite", fresh=True)
def alone_polite(ctx: JobContext, started: str) -> str:
    """Likewise, until it is told to stop."""
    note(started, os.getpid())
    while not ctx.stop_requested:
        time.sleep(PAUSE)
    return ctx.stop_reason
