"""Keep one slot of the pool: one child after another, and the reports on it to the dispatcher.

             spawn              "ready"               "retiring"
    EMPTY ────────> STARTING ───────────> READY ────────────────> RETIRING
      ▲                │                    │                        │ its end: runs that it had not begun stay
      └── slot_lost ───┴──── slot_lost ─────┘                        └──> EMPTY, and at once STARTING

A child that retires is no loss: its frames are taken back, wait here, and go to the next child of
the slot. That takes its place at once (`spare`), while the old one closes what it has open
(`going`), unless the end of the last run waits for the end of the process.

A child that ends without having begun anything is followed after a wait that doubles from 0.1 s to
5 s, so a module that ends its process does not keep the machine busy.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any

from headrace.jobs import RunInfo
from headrace_server.work.executor import ExecutorListener, RunKey, Types
from headrace_server.work.ipc import frames
from headrace_server.work.pool.born import Born, born
from headrace_server.work.pool.child_connection import ChildConnection
from headrace_server.work.pool.going import Going
from headrace_server.work.pool.left_log import LeftLog
from headrace_server.work.pool.output import OutputLimits
from headrace_server.work.pool.overdue import DYING, LEAVING, STARTING, TAKING, Overdue
from headrace_server.work.pool.pipes import Pipes
from headrace_server.work.pool.run_tracker import RunTracker
from headrace_server.work.pool.spare import Spare
from headrace_server.work.pool.supervisor_client import SupervisorClient

log = logging.getLogger(__name__)

FRAMES_PER_WAKE = 64
"""Then it is another slot's turn."""

PACE = 0.005
"""Seconds between two readings of output that is only thrown away."""

BACKOFF_FIRST, BACKOFF_MAX = 0.1, 5.0


class State(Enum):
    """The state of a slot: see the module."""

    EMPTY = auto()
    STARTING = auto()
    READY = auto()
    RETIRING = auto()


class Slot:
    """One slot of several.

    `leave_workspace` is called with a run whose child died; `output` is what is kept of each run.
    """

    def __init__(
        self,
        name: str,
        listener: ExecutorListener,
        supervision: SupervisorClient,
        leave_workspace: Callable[[RunKey], None],
        *,
        output: OutputLimits,
        left_log: LeftLog,
        spare: Spare,
        going: Going,
        slots: int = 1,
    ) -> None:
        self.name = name
        self.state = State.EMPTY
        self.life: int | None = None
        """The number of the child; None without one."""
        self.lives = 0
        """How many children there were."""
        self.runs = RunTracker(name, listener, output)
        self._listener = listener
        self._supervision = supervision
        self._leave_workspace = leave_workspace
        self._left_log = left_log
        self._spare = spare
        self._slots = slots
        self._going = going
        self._overdue = Overdue(name, self._pid, self.kill)
        self._killed = False
        self._paused = False
        self._started_at = 0.0
        self._line: ChildConnection | None = None
        self._pipes: Pipes | None = None
        self._kept: list[bytes] = []
        self._returned: list[bytes] = []
        self._flags: dict[int, str] = {}
        """Stops of runs that wait for the next child, for its page."""
        self._aside = b""
        self._begun_before = 0
        self._fruitless = 0
        self._respawn: asyncio.TimerHandle | None = None
        self._show: asyncio.TimerHandle | None = None
        self._notes: Mapping[str, Callable[[list[Any]], None]] = {
            "retiring": lambda _header: self._retire(),
            "closing": lambda _header: listener.slot_closing(name),
            "left": lambda header: left_log.note(name, header[1]),
            "stray": lambda header: left_log.stray(name, *header[1:3]),
            "note": lambda header: log.warning(header[1], extra={"worker": name}),
        }
        """By the kind of frame, what is done with those that are of no run."""

    # What the pool asks for

    def spawn(self) -> None:
        """Take the spare, or have a child started, unless there is one."""
        self.abandon()
        if self._line is not None or not self._supervision.up:
            return
        try:
            self._adopt(self._spare.take() or born(self._supervision))
        except OSError:
            log.exception("no child could be started", extra={"worker": self.name})
            self._fruitless += 1
            self.spawn_again()

    def _adopt(self, child: Born) -> None:
        self._line = child.line
        self.life = child.life
        self.state = State.STARTING
        self._killed = self._paused = False
        self._started_at = child.at
        self.lives += 1
        self._aside = child.written
        self._begun_before = self.runs.begun
        self._pipes = Pipes(child.line, partial(self._take_output, child.line))
        child.line.watch(self._on_frames, self._read_output)
        for header, text in child.said:
            self._take(header, text)
        self._expect()

    def spawn_again(self) -> None:
        """Have the next child started: at once, or after a wait.

        It waits if the last children have begun nothing.
        """
        self.abandon()
        wait = min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** min(self._fruitless - 1, 10)) if self._fruitless else 0
        self._respawn = asyncio.get_running_loop().call_later(wait, self.spawn)

    def abandon(self) -> None:
        """Take back what spawn_again has asked for."""
        if self._respawn is not None:
            self._respawn.cancel()
            self._respawn = None

    def send(self, run: RunInfo) -> None:
        """Hand a run over. While a new child is being started it waits here."""
        frame = self.runs.add(run)
        if self._line is not None and self.state is State.READY:
            self._line.post(frame)
            self._expect()
        else:
            self._kept.append(frame)

    def recall(self) -> list[RunKey]:
        """Take back what the child has not taken."""
        taken, self._kept = self._kept, []
        if self._line is not None:
            back, leaves = self._recall(self._line)
            taken = back + taken
            if leaves:  # that is no run
                self._line.post(frames.LEAVE)
        runs = self.runs.recall(taken)
        self._expect()
        return runs

    def renew(self, since: float) -> None:
        """Have the child go when it has done what it was handed.

        A child that was started later than `since` takes its place.
        """
        if self._line is not None and self.state is State.READY:
            self._fruitless = 0
            self._line.post(frames.LEAVE)
            for old in self._spare.older(since):
                self._going.kill(self.name, old)

    @staticmethod
    def _recall(line: ChildConnection) -> tuple[list[bytes], bool]:
        """Return the runs that the child has not taken, and whether LEAVE was among them.

        LEAVE tells the child to go.
        """
        taken = line.recall()
        return [frame for frame in taken if frame != frames.LEAVE], frames.LEAVE in taken

    def flag_stop(self, run: RunKey, reason: str) -> None:
        """Put the run's ticket on the stop page. Nothing happens for a run that has ended."""
        ticket = self.runs.ticket(run)
        if ticket is None:
            return
        if self._line is not None:
            self._line.page.flag(ticket, reason)
        if self.state in (State.EMPTY, State.RETIRING):
            self._flags[ticket] = reason

    def terminate(self, run: RunKey) -> None:
        """SIGTERM for the run; the child sees by the page whether it is the one that is meant.

        A run that shares its child is interrupted through the loop there, by the page alone.
        """
        ticket = self.runs.ticket(run)
        if ticket is not None and self._line is not None:
            if not self._line.page.flagged(ticket):
                self._line.page.flag(ticket, "")
            if self.runs.shared:
                self._line.page.insist(ticket)
            else:
                self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """Read nothing of what the child says and writes: it waits when there is no room."""
        if self._line is not None:
            self._paused = True
            self._line.pause()
            self._expect()

    def resume(self) -> None:
        """Read again."""
        if self._line is not None:
            self._paused = False
            self._line.resume()
            self._expect()

    def kill(self) -> None:
        """SIGKILL to the child; ended() follows."""
        self._killed = self._line is not None
        self._signal(signal.SIGKILL)
        self._expect()

    def _signal(self, number: int) -> None:
        if self.life is not None:
            self._supervision.signal(self.life, number)

    def _pid(self) -> int | None:
        return None if self.life is None else self._supervision.pids.get(self.life)

    def _expect(self) -> None:
        """Watch for the step that the child has to take by itself now."""
        if self._line is None:
            self._overdue.expect(None)
        elif self._killed:
            self._overdue.expect(DYING)
        elif self.state is State.STARTING:
            self._overdue.expect(STARTING, since=self._started_at)
        elif self.state is State.RETIRING:
            self._overdue.expect(LEAVING)
        elif self.runs.waits and not self._paused:  # what a paused child has said was not read
            self._overdue.expect(TAKING, self.runs.begun)
        else:
            self._overdue.expect(None)

    # What the child says and writes

    def _on_frames(self) -> None:
        if self._read_frames() and self._pipes is not None:
            self._pipes.all()

    def _read_frames(self) -> bool:
        """Take some frames; True when that was all."""
        if self._line is None:
            return True
        count = 0
        for frame in self._line.frames(FRAMES_PER_WAKE):
            count += 1
            try:
                self._take(*frames.decode(frame))
            except Exception:
                # A child that says what nobody understands is not waited for: its run would never
                # end.
                log.exception("a worker cannot be understood: it is killed", extra={"worker": self.name})
                self.kill()
        if count:
            self._expect()
        return count < FRAMES_PER_WAKE

    def _take(self, header: list[Any], text: str) -> None:
        kind = header[0]
        if self._pipes is not None:
            self._order(self._pipes, header)
        if kind == "ready":
            loaded = header[1]
            self._be_ready(loaded)
        elif kind == "returned":
            # It had been taken, and wants a child that has had no run.
            self._returned = [text.encode()]
        elif kind in self._notes:
            self._notes[kind](header)
        elif kind in self.runs.said:
            self.runs.said[kind](header, text)
            if kind == "output" and not text.endswith("\n"):
                self._show_soon()
        else:
            # A worker of a later version says more than this one has ears for.
            log.warning(
                "a worker says what this version does not know: %.100r", kind, extra={"worker": self.name}
            )

    def _order(self, pipes: Pipes, header: list[Any]) -> None:
        """Deliver what was written before a frame was sent, where that counts."""
        match header:
            case ["messages", _, _, _, written, *_]:
                pipes.until(written)
            case ["progress" | "result", *_]:
                pass
            case ["begun", *_]:
                pipes.all()
                pipes.begin()
            case _:
                pipes.all()

    def _be_ready(self, loaded: Mapping[str, Any]) -> None:
        self.state = State.READY
        kept, self._kept = self._kept, []
        flags, self._flags = self._flags, {}
        if self._line is not None:
            for ticket, reason in flags.items():
                self._line.page.flag(ticket, reason)
            for frame in kept:
                self._line.post(frame)
        types: Types = loaded["types"]
        self._listener.slot_ready(self.name, types, loaded["errors"], loaded.get("concurrency", {}))
        if loaded.get("fresh"):
            self._spare.wanted = self._slots
        self._spare.spawn()

    def _retire(self) -> None:
        self.state = State.RETIRING
        if self._line is not None:
            self._kept = self._returned + self._recall(self._line)[0] + self._kept
            self._returned = []
            self._keep_flags(self._line)
            asyncio.get_running_loop().call_soon(self._see_off, self._line)

    def _keep_flags(self, line: ChildConnection) -> None:
        """Stops of runs that wait for the next child."""
        for ticket in map(frames.ticket_of, self._kept):
            if line.page.flagged(ticket):
                self._flags[ticket] = line.page.reason(ticket)

    def _see_off(self, line: ChildConnection) -> None:
        """Let the child end by itself, and another take its place.

        This is not done where the end of its last run waits for the end of the child.
        """
        if self._line is line and self.life is not None and not self.runs.held:
            self._going.see_off(self.name, Born(self.life, line), LEAVING)
            self._be_empty()
            self.spawn_again()

    def _be_empty(self) -> None:
        self._line = self._pipes = self.life = None
        self.state = State.EMPTY
        self._expect()
        self._fruitless = 0 if self.runs.begun > self._begun_before else self._fruitless + 1

    def _read_output(self, pipe: int) -> None:
        # The pipe is not empty, so the child is in the run that wrote it, and that run's "begun" is
        # in the socket.
        line, pipes = self._line, self._pipes
        if line is None or pipes is None or not self._read_frames():
            return  # another wake-up follows: the pipe is as it was
        count = pipes.hold(pipe)
        if count:
            self._on_frames()  # messages that came meanwhile may have been said before some of it
            if self.runs.flooded:
                line.rest(pipe, PACE)
        elif count is not None:
            line.unwatch(pipe)

    def _take_output(self, line: ChildConnection, pipe: int, data: bytes) -> None:
        if self.runs.alone:
            self.runs.output(frames.SOURCE_STDOUT if pipe == line.out else frames.SOURCE_STDERR, data)
            self._show_soon()
        elif self.runs.shared:
            self._left_log.unowned(self.name, data.decode("utf-8", "replace"))
        else:  # written while modules were loaded, or at exit: it may say why a child cannot start
            self._aside = (self._aside + data)[-frames.MESSAGE_MAX :]

    def _show_soon(self) -> None:
        """Lines without an end are shown after a while."""
        after = self.runs.show_after
        if self._show is None and after is not None:
            self._show = asyncio.get_running_loop().call_later(after, self._show_now)

    def _show_now(self) -> None:
        self._show = None
        self.runs.show()

    # The end of a child

    def ended(self, cause: str) -> None:
        """Read what the dead child said last, report that, and be empty.

        Nothing is left below the child. `cause` says why it has ended.
        """
        line = self._line
        if line is None:
            return
        while not self._read_frames():
            pass
        if self._pipes is not None:
            for pipe in (line.out, line.err):
                while self._pipes.hold(pipe):
                    self._pipes.all()
            self._pipes.all()
        kept_runs = self.state is State.RETIRING
        if self.state is State.STARTING:
            cause = self._before_ready(cause)
        self._be_empty()
        line.close()
        self.runs.end_held()
        if not kept_runs:
            self._kept.clear()
            self._returned.clear()
            begun, unbegun = self.runs.lose()
            for run in begun:
                self._leave_workspace(run)
            self._listener.slot_lost(self.name, begun, unbegun, cause)

    def _before_ready(self, cause: str) -> str:
        last = frames.clean(self._aside.decode("utf-8", "replace")).rstrip().rpartition("\n")[2]
        return f"{cause} before it was ready" + (f": {last}" if last else "")


def cause_of(status: int | None, note: str) -> str:
    """A wait status in words; the note where there was none."""
    if status is None:
        return note
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"killed by signal {-code}"
