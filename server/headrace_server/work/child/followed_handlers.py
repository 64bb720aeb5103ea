"""Handlers of signals that a job has set, or a module: whether one of them has raised an exception.

What the job was doing in that moment was cut off where it stood, as by a stop: an alarm that is to
end a call which takes too long leaves a connection in the middle of an answer. Only `signal.signal`
knows the handlers, so that is where they are followed; whoever asks for one gets what was given.
"""

import signal
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any


class _Followed:
    """A handler. on_raised is called when it raises."""

    __slots__ = ("given", "on_raised")

    def __init__(self, given: Callable[[int, FrameType | None], Any], on_raised: Callable[[], None]) -> None:
        self.given = given
        self.on_raised = on_raised

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        try:
            return self.given(number, frame)
        except BaseException:
            self.on_raised()
            raise

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Followed) and bool(self.given == other.given)

    def __hash__(self) -> int:
        return hash(self.given)


def follow_handlers(on_raised: Callable[[], None]) -> None:
    """From now on, call on_raised when a handler of a signal that is set from now on raises."""
    set_handler: Any = signal.signal
    get_handler: Any = signal.getsignal

    @wraps(set_handler)
    def set_followed(number: int, handler: Any) -> Any:
        if callable(handler) and not isinstance(handler, _Followed):
            handler = _Followed(handler, on_raised)
        return _given(set_handler(number, handler))

    @wraps(get_handler)
    def get_given(number: int) -> Any:
        return _given(get_handler(number))

    doors: Any = signal  # its own types say less of what they take than it takes
    doors.signal, doors.getsignal = set_followed, get_given


def _given(handler: Any) -> Any:
    return handler.given if isinstance(handler, _Followed) else handler
