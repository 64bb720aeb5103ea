"""Track which runs a slot was handed, has begun and has finished.

So after any death the fate of each run is known.

    handed ──"begun"──> current ──"finished"──> told
      │                    └─ the child died ──> lost, begun
      └─ recalled, or the child died ──> lost, never begun

A run is in `handed` until the child says that it begins it, wherever its frame is: waiting here, in
the socket, or taken by a child that died before it said so. What the child says survives it in the
socket, and is read to the end before anything is called lost. There is one current run, or several
that share the child.

A *ticket* is the number of one run handed over, given once in the life of this process; it names
the run in every frame and on the stop page. No two that the child may know of have one entry of the
page.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from headrace.jobs import RunInfo
from headrace_server.domain.change import Message, Outcome
from headrace_server.work.executor import ExecutorListener, RunKey
from headrace_server.work.ipc import frames
from headrace_server.work.ipc.stop_page import ENTRIES
from headrace_server.work.pool.output import Capture, OutputLimits

_handed_over = itertools.count(1)


class _Current:
    """A run that has begun: what it has said, and how it ends once its process is gone."""

    def __init__(self, key: RunKey, limits: OutputLimits) -> None:
        self.key = key
        self.capture = Capture(limits)
        self.dropped = 0
        self.outcome: Outcome | None = None


class RunTracker:
    """The runs of one slot, and the reports on them to the listener.

    `output`: what is kept of the output of each run.
    """

    def __init__(self, slot: str, listener: ExecutorListener, output: OutputLimits) -> None:
        self.begun = 0
        self.shared = False
        """Whether the child is one that runs share, as far as it has said."""
        self._slot = slot
        self._listener = listener
        self._limits = output
        self._free = list(range(ENTRIES))[::-1]
        """Entries of the page that no run has; the last is the next."""
        self._handed: dict[int, RunKey] = {}
        self._current: dict[int, _Current] = {}
        self.said: Mapping[str, Callable[[Sequence[Any], str], None]] = {
            "begun": self._begun,
            "refused": self._refused,
            "progress": self._progress,
            "messages": self._messages,
            "output": self._output,
            "result": self._result,
            "finished": self._finished,
        }
        """By the kind of frame, what is done with header and text."""

    @property
    def waits(self) -> bool:
        """Whether a run was handed over and none is running: the child has to take it."""
        return not self._current and bool(self._handed)

    @property
    def held(self) -> bool:
        """Whether a run has said how it ends, and the end counts when the child is gone."""
        return any(run.outcome is not None for run in self._current.values())

    def add(self, run: RunInfo) -> bytes:
        """Note a run that is handed over; answer its frame."""
        ticket = next(_handed_over) * ENTRIES + self._free.pop()
        self._handed[ticket] = RunKey(run.job_id, run.claim)
        return frames.run_frame(ticket, run)

    def recall(self, taken: Iterable[bytes]) -> list[RunKey]:
        """Forget the runs of these frames: the child will never have them."""
        return [self._forget(frames.ticket_of(frame)) for frame in taken]

    def _forget(self, ticket: int) -> RunKey:
        self._free.append(ticket % ENTRIES)
        return self._handed.pop(ticket)

    @property
    def alone(self) -> bool:
        """Whether a run has the child for itself now: what is written there is its output."""
        return bool(self._current) and not self.shared

    @property
    def flooded(self) -> bool:
        """Whether the run has written more than is kept: the rest is thrown away."""
        return self.alone and all(run.capture.full for run in self._current.values())

    def ticket(self, run: RunKey) -> int | None:
        """The ticket of a run that has not ended, as far as is known here."""
        for ticket, current in self._current.items():
            if current.key == run:
                return ticket
        return next((ticket for ticket, key in self._handed.items() if key == run), None)

    def output(self, source: int, data: bytes) -> None:
        """The run that is alone in its child has written something."""
        for run in self._current.values():
            self._log(run, *run.capture.take(source, data))

    @property
    def show_after(self) -> float | None:
        """In how many seconds `show` is to be called; None for never."""
        times = (run.capture.show_after for run in self._current.values())
        return min((time for time in times if time is not None), default=None)

    def show(self) -> None:
        """Tell of the lines that runs have begun and not ended."""
        for run in self._current.values():
            self._log(run, run.capture.show(), 0)

    def end_held(self) -> None:
        """The child is gone: runs of which it had said how they end when that is so have ended."""
        for ticket, run in list(self._current.items()):
            if run.outcome is not None:
                self._end(ticket, run, run.outcome)

    def lose(self) -> tuple[list[RunKey], list[RunKey]]:
        """Return the runs that are lost with the child: those begun, and those never begun.

        The begun ones are the runs that the child had not finished.
        """
        begun = list(self._current.values())
        for run in begun:
            self._log_last(run)
        self._free += [ticket % ENTRIES for ticket in self._current]
        self._current.clear()
        unbegun = [self._forget(ticket) for ticket in list(self._handed)]
        return [run.key for run in begun], unbegun

    def _of(self, header: Sequence[Any]) -> _Current | None:
        """The run that says something."""
        ticket = frames.speaker_of(header)
        if ticket is None:
            return next(iter(self._current.values()), None)
        return self._current.get(ticket)

    def _begun(self, header: Sequence[Any], _text: str) -> None:
        ticket = header[1]
        key = self._handed.pop(ticket)
        self.shared = len(header) > 2 and bool(header[2])  # noqa: PLR2004 - the place of `shared`
        self._current[ticket] = _Current(key, self._limits)
        self.begun += 1
        self._listener.begun(self._slot, key)

    def _refused(self, header: Sequence[Any], _text: str) -> None:
        self._listener.refused(self._slot, self._forget(header[1]))

    def _progress(self, header: Sequence[Any], _text: str) -> None:
        if (run := self._of(header)) is not None:
            self._listener.progressed(self._slot, run.key, frames.progress_of(header))

    def _messages(self, header: Sequence[Any], _text: str) -> None:
        if (run := self._of(header)) is not None:
            if frames.ends_line(header):
                self._log(run, run.capture.show(bars=False), 0)
            self._log(run, *frames.messages_of(header))

    def _output(self, header: Sequence[Any], text: str) -> None:
        if (run := self._of(header)) is not None:
            self._log(run, *run.capture.take(header[1], text.encode("utf-8", "replace")))

    def _result(self, header: Sequence[Any], text: str) -> None:
        if (run := self._of(header)) is not None:
            self._listener.result_set(self._slot, run.key, header[1], text)

    def _finished(self, header: Sequence[Any], text: str) -> None:
        outcome = frames.outcome_of(header, text)
        run = self._current[header[1]]
        if frames.is_held(header):
            run.outcome = outcome
        else:
            self._end(header[1], run, outcome)

    def _end(self, ticket: int, run: _Current, outcome: Outcome) -> None:
        self._log_last(run)
        del self._current[ticket]
        self._free.append(ticket % ENTRIES)
        self._listener.finished(self._slot, run.key, outcome)

    def _log(self, run: _Current, messages: list[Message], dropped: int) -> None:
        """Messages are told at once; how many were thrown away, with them or at the end."""
        run.dropped += dropped
        if messages:
            dropped, run.dropped = run.dropped, 0
            self._listener.logged(self._slot, run.key, messages, dropped)

    def _log_last(self, run: _Current) -> None:
        self._log(run, run.capture.end(), 0)
        dropped, run.dropped = run.dropped, 0
        if dropped:
            self._listener.logged(self._slot, run.key, [], dropped)
