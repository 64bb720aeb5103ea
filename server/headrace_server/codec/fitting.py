"""The reduction of a record that cannot be shown whole to what can be shown of it.

One job says something that no message can carry, or an earlier version has stored it. Then that
part is left out, the rest is shown, and the log tells of it once: a list shows the other jobs
whatever one of them says.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, Final, TypeVar

from headrace_server.domain.job import Job, Status
from headrace_server.domain.once import Once
from headrace_server.domain.open_enum import word

log = logging.getLogger(__name__)

R = TypeVar("R")

_told: Final = Once()


def left_out(job_id: str, part: str, error: Exception) -> None:
    """Tell of a part that is not shown: once for each job and part."""
    if _told.first(job_id, part):
        log.error(
            "a part of a job cannot be shown and is left out: %s: %r", part, error, extra={"job_id": job_id}
        )


def blank(job: Job) -> Job:
    """A job of which nothing is shown but which it is."""
    return Job(job.type, queue="", job_id=job.job_id, tenant=job.tenant, status=word(Status, 0))


def fitting(job_id: str, whole: R, least: R, show: Callable[[R], object]) -> R:
    """Return as much of a record as `show` takes.

    It begins with `least`, which `show` does take. The log tells what is missing.
    """
    shown = least
    for field in fields(whole):  # type: ignore[arg-type] # R is a dataclass
        trial = _Trial(shown, field.name, show)
        part = trial.reduced(getattr(whole, field.name))
        if trial.error is not None:
            left_out(job_id, field.name, trial.error)
        if part is not _NOTHING:
            shown = replace(shown, **{field.name: part})  # type: ignore[type-var] # likewise
    return shown


_NOTHING: Final = object()


class _Trial:
    """A trial of what can be shown of one field."""

    def __init__(self, shown: Any, name: str, show: Callable[[Any], object]) -> None:
        self._shown = shown
        self._name = name
        self._show = show
        self.error: Exception | None = None
        """Why not all of it."""

    def fits(self, value: Any) -> bool:
        """Whether this can be shown."""
        try:
            self._show(replace(self._shown, **{self._name: value}))
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest can be shown
            self.error = error
            return False
        return True

    def reduced(self, value: Any) -> Any:
        """Return the value, or what can be shown of it.

        That is the entries that can be shown, or a record without one of its optional fields.
        """
        if self.fits(value):
            return value
        match value:
            case tuple():
                return tuple(part for part in value if self.fits((part,)))
            case Mapping():
                return {name: part for name, part in value.items() if self.fits({name: part})}
            case _ if is_dataclass(value):
                return next(filter(self.fits, _without_one(value)), _NOTHING)
            case _:
                return _NOTHING


def _without_one(record: Any) -> Iterator[Any]:
    """The record without each of its optional fields."""
    for field in fields(record):
        if field.default is not MISSING:
            yield replace(record, **{field.name: field.default})
