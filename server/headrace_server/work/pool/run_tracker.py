"""Track which runs a slot was handed, has begun and has finished.

So after any death the fate of each run is known.

    handed ──"begun"──> current ──"finished"──> told
      │                    └─ the child died ──> lost, begun
      └─ recalled, or the child died ──> lost, never begun

A run is in `handed` until the child says that it begins it, wherever its frame is: waiting here, in
the socket, or taken by a child that died before it said so. What the child says survives it in the
socket, and is read to the end before anything is called lost.

A *ticket* is the number of one run handed over, given once in the life of this process; it names
the run in every frame and on the stop page.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from headrace.jobs import RunInfo
from headrace_server.domain.change import Message, Outcome
from headrace_server.work.executor import ExecutorListener, RunKey
from headrace_server.work.ipc import frames
from headrace_server.work.pool.output import Capture, OutputLimits

_tickets = itertools.count(1)


class RunTracker:
    """The runs of one slot, and the reports on them to the listener.

    `output`: what is kept of the output of each run.
    """

    def __init__(self, slot: str, listener: ExecutorListener, output: OutputLimits) -> None:
        self.begun = 0
        self._slot = slot
        self._listener = listener
        self._capture = Capture(output)
        self._handed: dict[int, RunKey] = {}
        self._current: tuple[int, RunKey] | None = None
        self._outcome: Outcome | None = None
        self._dropped = 0
        self.said: Mapping[str, Callable[[Sequence[Any], str], None]] = {
            "begun": self._begun,
            "refused": self._refused,
            "progress": self._progress,
            "messages": self._messages,
            "result": self._result,
            "finished": self._finished,
        }
        """By the kind of frame, what is done with header and text."""

    @property
    def running(self) -> bool:
        """Whether a run has begun and not ended."""
        return self._current is not None

    @property
    def waits(self) -> bool:
        """Whether a run was handed over and none is running: the child has to take it."""
        return self._current is None and bool(self._handed)

    @property
    def held(self) -> bool:
        """Whether a run has said how it ends, and the end counts when the child is gone."""
        return self._outcome is not None

    def add(self, run: RunInfo) -> bytes:
        """Note a run that is handed over; answer its frame."""
        ticket = next(_tickets)
        self._handed[ticket] = RunKey(run.job_id, run.claim)
        return frames.run_frame(ticket, run)

    def recall(self, taken: Iterable[bytes]) -> list[RunKey]:
        """Forget the runs of these frames: the child will never have them."""
        return [self._handed.pop(frames.ticket_of(frame)) for frame in taken]

    @property
    def flooded(self) -> bool:
        """Whether the run has written more than is kept: the rest is thrown away."""
        return self._capture.full

    def ticket(self, run: RunKey) -> int | None:
        """The ticket of a run that has not ended, as far as is known here."""
        if self._current is not None and self._current[1] == run:
            return self._current[0]
        return next((ticket for ticket, key in self._handed.items() if key == run), None)

    def output(self, source: int, data: bytes) -> None:
        """The current run has written something."""
        if self._current is not None:
            self._log(*self._capture.take(source, data))

    @property
    def show_after(self) -> float | None:
        """In how many seconds `show` is to be called; None for never."""
        return self._capture.show_after if self.running else None

    def show(self) -> None:
        """Tell of the lines that the run has begun and not ended."""
        if self.running:
            self._log(self._capture.show(), 0)

    def end_held(self) -> None:
        """The child is gone: if it had said how its run ends when that is so, the run has ended."""
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            self._end(outcome)

    def lose(self) -> tuple[RunKey | None, list[RunKey]]:
        """Return the runs that are lost with the child: the begun one, and those never begun.

        The begun one is the run that the child had not finished, or None.
        """
        self._log_last()
        current, self._current = self._current, None
        unbegun = list(self._handed.values())
        self._handed.clear()
        return (current[1] if current else None), unbegun

    def _begun(self, header: Sequence[Any], _text: str) -> None:
        ticket = header[1]
        key = self._handed.pop(ticket)
        self._current = (ticket, key)
        self.begun += 1
        self._capture.begin()
        self._listener.begun(self._slot, key)

    def _refused(self, header: Sequence[Any], _text: str) -> None:
        self._listener.refused(self._slot, self._handed.pop(header[1]))

    def _progress(self, header: Sequence[Any], _text: str) -> None:
        if self._current is not None:
            self._listener.progressed(self._slot, self._current[1], frames.progress_of(header))

    def _messages(self, header: Sequence[Any], _text: str) -> None:
        if frames.ends_line(header):
            self._log(self._capture.show(bars=False), 0)
        self._log(*frames.messages_of(header))

    def _result(self, header: Sequence[Any], text: str) -> None:
        if self._current is not None:
            self._listener.result_set(self._slot, self._current[1], header[1], text)

    def _finished(self, header: Sequence[Any], text: str) -> None:
        outcome = frames.outcome_of(header, text)
        if frames.is_held(header):
            self._outcome = outcome
        else:
            self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        if self._current is not None:
            key = self._current[1]
            self._log_last()
            self._current = None
            self._listener.finished(self._slot, key, outcome)

    def _log(self, messages: list[Message], dropped: int) -> None:
        """Messages are told at once; how many were thrown away, with them or at the end."""
        self._dropped += dropped
        if self._current is not None and messages:
            dropped, self._dropped = self._dropped, 0
            self._listener.logged(self._slot, self._current[1], messages, dropped)

    def _log_last(self) -> None:
        self._log(self._capture.end(), 0)
        dropped, self._dropped = self._dropped, 0
        if self._current is not None and dropped:
            self._listener.logged(self._slot, self._current[1], [], dropped)
