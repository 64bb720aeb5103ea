"""Send what a job says from child to server, at a bounded rate and never late for long.

    job's code ──progress──> latest ──┐
               ──message───> pending ─┴─ at once, if 50 ms have passed since the last ──> socket
                                      └─ else when they have: by the flusher, a thread that sleeps otherwise
               ──result────> at once, behind what was pending

Of messages no more is sent than the server keeps of an attempt: a loop that logs for ever costs its
own process, and nobody else. The others are counted.

While the flusher is armed a progress call stores one tuple, so a loop may report every step. Its
thread is started when it is first needed: many jobs never need it, and a process with threads is
worse to fork.

What is printed goes another way, through a pipe (`output`). It keeps its order with messages: a
frame of messages says how much was printed before it (`pipes`), and before something is printed the
messages that wait are sent (`streams`).

SIGTERM may raise JobStopped in the job's thread at any bytecode. Inside a *shield* it waits: else
it could leave the lock held, or a frame sent and still pending.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from headrace import jobs
from headrace_server.work.child.captured_streams import READ_SECONDS
from headrace_server.work.ipc.frames import MESSAGE_MAX, clean, encode
from headrace_server.work.ipc.stop_page import StopPage
from headrace_server.work.linux import workspace

INTERVAL = 0.05
"""Seconds between two reports of progress."""

TEXT_INTERVAL = 0.25
"""Seconds that text without a line feed waits for the rest of its line."""

_BATCH = 32
"""Messages that do not wait for the interval, nor for more of them."""


class Shield:
    """Holds an interruption back while the child does something of its own."""

    def __init__(self) -> None:
        self._depth = 0
        self._held = False
        self._thread = threading.get_ident()

    def interrupt(self) -> None:
        """Interrupt the job's code now, or when the shield is down. For the signal handler."""
        if self._depth == 0:
            jobs.interrupt()
        else:
            self._held = True

    @contextmanager
    def up(self) -> Iterator[None]:
        """Hold interruptions back while this context is open.

        Signals are handled by the main thread, so other threads need no shield.
        """
        if threading.get_ident() != self._thread:
            yield
            return
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._held and self._depth == 0:
            self._held = False
            jobs.interrupt()


class Printed(Protocol):
    """What a run prints, beside what it reports: see Streams."""

    @property
    def partial(self) -> bool:
        """Whether a line that the run began has no end yet."""
        ...

    @property
    def written(self) -> Sequence[int]:
        """Bytes that the run has written to each pipe."""
        ...

    def flush(self) -> None:
        """Write what is held."""
        ...

    def wait_until_read(self, most: float | None = None) -> None:
        """Wait until the server has read it, `most` seconds at most."""
        ...


class Later(Protocol):
    """Whoever flushes a reporter that waits: see Flusher."""

    def flush_at(self, when: float, reporter: "ChildReporter", /) -> None:
        """Flush it at a time of time.monotonic."""
        ...


class ChildReporter:
    """The Reporter of headrace.jobs for one run.

    send puts a frame on the socket, and waits for room there. messages: how many are kept of the
    run.
    """

    def __init__(
        self,
        ticket: int,
        send: Callable[[bytes], None],
        page: StopPage,
        directory: Path,
        flusher: Later,
        *,
        streams: Printed,
        messages: int,
    ) -> None:
        self.shield = Shield()
        self._ticket = ticket
        self._send = send
        self._page = page
        self._directory = directory
        self._flusher = flusher
        self._streams = streams
        self._workspace_made = False
        self._latest: tuple[int, int | None, str] | None = None
        self._messages: list[tuple[int, str]] = []
        self._room = messages
        self._dropped = 0
        self._armed = False
        self._closed = False
        self._forked = False
        self._next = 0.0
        self._lock = threading.RLock()

    def progress(self, done: int, total: int | None, message: str) -> None:
        """The latest counts; those between two reports are left out."""
        self._latest = (done, total, message)
        if not self._armed:
            self._report()

    def message(self, level: int, text: str) -> None:
        """A message, cut to 4 KiB. What the job has printed before is read before."""
        self._streams.flush()
        with self.shield.up(), self._lock:
            if self._room <= 0:
                self._dropped += 1
                return
            self._room -= 1
            self._messages.append((level, clean(text, MESSAGE_MAX)))
            if len(self._messages) >= _BATCH:
                self.flush()
            elif not self._armed:
                self._report(at_once=self._forked)

    def result(self, name: str, value: str) -> None:
        """A named result, sent at once."""
        with self.shield.up(), self._lock:
            self.flush()
            self._speak(encode(("result", name, self._ticket), value))

    def stop_requested(self) -> bool:
        """Whether the server has flagged this run. A read of memory."""
        return self._page.flagged(self._ticket)

    def stop_reason(self) -> str:
        """The reason given with the stop."""
        return self._page.reason(self._ticket)

    def workspace(self) -> Path:
        """The run's directory, made on first use."""
        if not self._workspace_made:
            workspace.make(self._directory)
            self._workspace_made = True
        return self._directory

    @property
    def has_workspace(self) -> bool:
        """Whether the run's directory was made."""
        return self._workspace_made

    def flush_messages(self) -> None:
        """Send messages that wait, before the job says something in another way."""
        if self._messages:
            self.flush()

    def flush(self) -> None:
        """Send what is pending: messages first, then the latest progress."""
        with self.shield.up(), self._lock:
            self._armed = False
            self._next = time.monotonic() + INTERVAL
            messages, self._messages = self._messages, []
            latest, self._latest = self._latest, None
            dropped, self._dropped = self._dropped, 0
            if messages or dropped:
                self._streams.wait_until_read(READ_SECONDS)
                streams = self._streams
                self._speak(
                    encode(("messages", messages, dropped, streams.partial, streams.written, self._ticket))
                )
            if latest is not None:
                done, total, message = latest
                at = time.time_ns() // 1000
                text = clean(message, MESSAGE_MAX)
                self._speak(encode(("progress", done, total, text, at, self._ticket)))

    def forked(self, flusher: Later) -> None:
        """Begin anew in a process that the job has forked.

        No thread is here, and what waits is sent elsewhere.
        """
        self._lock = threading.RLock()
        self._flusher = flusher
        self._forked, self._armed = True, False
        self._messages, self._dropped, self._latest = [], 0, None

    def close(self) -> None:
        """The run has ended: send what is pending, and nothing that its threads may say later."""
        with self._lock:
            self.flush()
            self._closed = True
        if self._workspace_made and not workspace.remove(self._directory):
            self._send(encode(("note", workspace.LEFT.format(self._directory))))

    def _report(self, *, at_once: bool = False) -> None:
        with self.shield.up():
            if at_once or time.monotonic() >= self._next:
                self.flush()
            elif (
                not self._forked
            ):  # a process that a job forks is gone soon, and may have no time for a thread
                self._armed = True
                self._flusher.flush_at(self._next, self)

    def _speak(self, frame: bytes) -> None:
        if not self._closed:
            self._send(frame)


class Flusher:
    """The thread that sends what a run said last, when the run does not speak again by itself.

    busy: held while it does. write: writes text that has no line feed yet.
    """

    def __init__(self, write: Callable[[], None]) -> None:
        self.thread: threading.Thread | None = None
        self.busy = threading.Lock()
        self._write = write
        self._wake = threading.Event()
        self._due: tuple[float, ChildReporter] | None = None
        self._write_at: float | None = None

    def flush_at(self, when: float, reporter: ChildReporter) -> None:
        """Flush the reporter at a time of time.monotonic."""
        self._due = (when, reporter)
        self._start()

    def flush_text(self) -> None:
        """Write text soon."""
        if self._write_at is None:
            self._write_at = time.monotonic() + TEXT_INTERVAL
            self._start()

    def _start(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, name="headrace-flusher", daemon=True)
            # The new thread has this mask. A signal that a job holds back would come to it, and do
            # what it does by default.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                self.thread.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._wake.set()

    def _run(self) -> None:
        while True:
            times = [when for when in (self._due and self._due[0], self._write_at) if when is not None]
            self._wake.wait(max(0.0, min(times) - time.monotonic()) if times else None)
            self._wake.clear()
            with self.busy:
                self._flush(time.monotonic())

    def _flush(self, now: float) -> None:
        due, self._due = self._due, None
        if due is not None:
            if due[0] <= now:
                due[1].flush()
            elif self._due is None:  # no other run has come in between
                self._due = due
        if self._write_at is not None and self._write_at <= now:
            self._write_at = None
            self._write()
