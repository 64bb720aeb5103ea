"""The main job of Headrace, end to end: `make demo`.

Every step is a public command. It is printed, run, shown with its true output, and held to what it
should do: a step that does anything else ends the demo with an error. Whatever happens, no process
is left behind.
"""

import hashlib
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

EXAMPLES = Path(__file__).resolve().parent
HEADRACE = Path(sys.executable).with_name("headrace")
PHOTO = EXAMPLES / "photo" / "coffee.jpg"
STDLIB = (f"path={sysconfig.get_paths()['stdlib']}", 'skip:=["site-packages", "__pycache__"]')
"""The standard library of this Python, without what was installed into it."""
MARK = f"HEADRACE_DEMO={os.getpid()}-{time.time_ns()}"
"""In the environment of every process that the demo starts: those that are left can be found by it.
"""

LIMIT = 60.0
"""Seconds that any one step may take."""
PASSES = 25
FOR_EVER = 1_000_000
"""Passes that nobody will wait for."""
LONG = 12.0
"""Seconds that a job should last which is to be killed and run again."""


class Surprise(Exception):
    """A step came out differently from what it should."""


class Demo:
    """The server, its folder, and the step that is under way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.step = ""
        self.server: subprocess.Popen[bytes] | None = None
        name, _, value = MARK.partition("=")
        self.environment = {
            **{key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")},
            name: value,
            "HEADRACE_WORKSPACE": str(folder / "workspaces"),
            "PYTHONPATH": str(EXAMPLES),
        }

    def begin(self, step: str) -> None:
        """Name what comes next."""
        self.step = step
        say(f"\n\033[1m# {step}\033[0m" if sys.stdout.isatty() else f"\n# {step}")

    def expect(self, *, fact: bool, otherwise: str) -> None:
        """Go on only if something is so."""
        if not fact:
            raise Surprise(otherwise)

    def headrace(self, *words: str, code: int = 0, quiet: bool = False) -> str:
        """Run a command and show it, unless quiet; return what it wrote to stdout.

        It must end with the code.
        """
        if not quiet:
            say(f"$ headrace {shlex.join(words)}")
        # S603: the words are the demo's own.
        done = subprocess.run(  # noqa: S603
            [HEADRACE, *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            timeout=LIMIT,
            check=False,
            text=True,
        )
        if not quiet and done.stdout:
            say(done.stdout.rstrip("\n"))
        self.expect(
            fact=done.returncode == code,
            otherwise=f"headrace {words[0]} ended with {done.returncode} where {code} was due",
        )
        return done.stdout.strip()

    def until(self, fact: Callable[[], bool], otherwise: str) -> None:
        """Wait for a fact, as long as a step may take."""
        end = time.monotonic() + LIMIT
        while not fact():
            self.expect(fact=time.monotonic() < end, otherwise=otherwise)
            time.sleep(0.05)

    def until_it_works(self, job_id: str) -> None:
        """Wait until a job has made progress, and show the last time that it was asked for."""
        words = ("get", job_id, "--format", "{job.status} {job.progress.done}")
        shown = ""

        def works() -> bool:
            nonlocal shown
            shown = self.headrace(*words, quiet=True)
            status, _, done = shown.partition(" ")
            ended = status in {"SUCCEEDED", "FAILED", "ABORTED"}
            self.expect(fact=not ended, otherwise=f"job {job_id} is {status} already")
            return status == "RUNNING" and done not in {"", "0"}

        self.until(works, f"job {job_id} made no progress")
        say(f"$ headrace {shlex.join(words)}\n{shown}")

    def start(self) -> None:
        """Start the server on the same database each time, and wait until it serves."""
        log = self.folder / "server.log"
        address = self.environment.get("HEADRACE_TARGET", "127.0.0.1:0")
        words = ["dev", "--jobs", "example_jobs.files", "--jobs", "example_jobs.image", "--workers", "2"]
        words += ["--address", address, "--database-url", f"sqlite:///{self.folder}/headrace.db"]
        say(f"$ headrace {shlex.join(words)} &")
        with log.open("wb") as stream:
            server = self.server = subprocess.Popen(  # noqa: S603 - the words are the demo's own
                [HEADRACE, *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        found: list[re.Match[str]] = []

        def serves() -> bool:
            text = log.read_text("utf-8", "replace")
            self.expect(fact=server.poll() is None, otherwise=f"the server ended: {text[-2000:]}")
            found.extend(re.finditer(r"^Headrace listens on (\S+), .*$", text, re.MULTILINE))
            return bool(found)

        self.until(serves, "the server does not listen")
        say(found[0][0])
        if "HEADRACE_TARGET" not in self.environment:
            self.environment["HEADRACE_TARGET"] = found[0][1]
            say(f"$ export HEADRACE_TARGET={found[0][1]}")

    def end(self, number: signal.Signals) -> int:
        """Send the server a signal, and return what it ended with."""
        server = self.server
        if server is None:
            raise Surprise("there is no server to end")
        say(f"$ kill -{number.name.removeprefix('SIG')} {server.pid}")
        server.send_signal(number)
        return server.wait(LIMIT)

    def clean_up(self) -> None:
        """End every process that is left."""
        if self.server is not None and self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        # What the server had started ends by itself when it is gone, within seconds; what does not
        # is helped.
        end = time.monotonic() + 10
        while (left := left_behind()) and time.monotonic() < end:
            time.sleep(0.05)
        for process in left:
            os.kill(process, signal.SIGKILL)


def left_behind() -> list[int]:
    """The processes that carry the demo's mark, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                marked = MARK.encode() in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # it has gone, or is another's
            if marked:
                found.append(int(entry.name))
    return found


def say(text: str) -> None:
    """A line of the demo."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def play(demo: Demo) -> None:
    """The steps."""
    demo.begin("One command: server, SQLite file, worker processes")
    demo.start()
    demo.headrace("types")

    demo.begin("SHA-256 of this Python's standard library, with live progress")
    began = time.monotonic()
    digest = demo.headrace("run", "files.checksum", *STDLIB, f"passes={PASSES}")
    a_pass = (time.monotonic() - began) / PASSES
    demo.expect(fact=re.fullmatch(r'"[0-9a-f]{64}"', digest) is not None, otherwise=f"{digest} is no SHA-256")

    demo.begin("The same for ever, stopped while it runs")
    stopped = demo.headrace("submit", "files.checksum", *STDLIB, f"passes={FOR_EVER}")
    demo.until_it_works(stopped)
    outcome = demo.headrace("stop", stopped, "--reason", "the demo has seen enough")
    demo.expect(fact=outcome.startswith("STOPPED "), otherwise=f"the stop came out as {outcome}")
    demo.headrace("wait", stopped, code=3)

    demo.begin("A photograph, made smaller")
    small = demo.folder / "coffee-small.jpg"
    form = "{job.result.uri} {job.result.media_type} {job.result.digest}"
    words = ("image.resize", f"file={PHOTO}", "width=120", "height=120", f"output={small}")
    shown = demo.headrace("run", *words, "--format", form)
    made = f"{small.as_uri()} image/jpeg sha256:{hashlib.sha256(small.read_bytes()).hexdigest()}"
    demo.expect(fact=shown == made, otherwise=f"the result is not {made}")

    demo.begin("What there is now, and the history of the job that was stopped")
    demo.headrace("list")
    history = demo.headrace("events", stopped)
    demo.expect(fact="ABORTED" in history.splitlines()[-1], otherwise="the history does not end with ABORTED")

    demo.begin("SIGKILL of the server while two jobs run: one may start once, the other twice")
    once = demo.headrace("submit", "files.checksum", *STDLIB, f"passes={FOR_EVER}")
    demo.until_it_works(once)
    passes = math.ceil(LONG / a_pass)
    twice = demo.headrace(
        "submit",
        "files.checksum",
        *STDLIB,
        f"passes={passes}",
        "--max-attempts",
        "2",
        "--backoff",
        "100ms",
    )
    demo.until_it_works(twice)
    demo.end(signal.SIGKILL)
    demo.until(lambda: not left_behind(), "worker processes outlive the server")
    say("The server is gone, and every process of its jobs with it.")

    demo.begin("Started again: nothing is lost, and nothing is repeated silently")
    demo.start()
    demo.headrace("wait", once, code=1)
    lost = demo.headrace("get", once, "--format", "{job.status} {job.error.kind}")
    demo.expect(fact=lost == "FAILED INSTANCE_LOST", otherwise=f"the job that may start once is {lost}")
    demo.headrace("watch", twice)
    again = demo.headrace(
        "get",
        twice,
        "--format",
        "{job.attempts.0.error.kind}, then {job.status} in attempt {job.attempts.1.number}",
    )
    demo.expect(
        fact=again == "INSTANCE_LOST, then SUCCEEDED in attempt 2",
        otherwise=f"the job that may start twice came out as {again}",
    )
    demo.headrace("count", "--by", "status,type")

    demo.begin("SIGTERM: the server drains and ends")
    code = demo.end(signal.SIGTERM)
    demo.expect(fact=code == 0, otherwise=f"the server ended with {code}")
    demo.until(lambda: not left_behind(), "processes outlive the server")


def interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    """End at a signal by way of the cleaning up."""
    sys.exit(128 + number)


def main() -> int:
    """Play the demo; 0 when every step came out as it should."""
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    folder = Path(tempfile.mkdtemp(prefix="headrace-demo-"))
    demo, began = Demo(folder), time.monotonic()
    try:
        play(demo)
    except (Surprise, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"\ndemo: the step {demo.step!r} failed: {error}\n")
        return 1
    finally:
        demo.clean_up()
        shutil.rmtree(folder, ignore_errors=True)
    say(f"\nEverything came out as it should, in {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
