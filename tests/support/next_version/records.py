"""A server that stores more than this version knows: one more key in each record, and words and
kinds of its own.

What it stores is as it would be of a later version; what it decides is as of today, so it can be
compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from headrace_server.domain.change import Draft
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import ErrorKind, Job, JobError, Status
from headrace_server.domain.open_enum import word
from headrace_server.store.cluster import instances
from headrace_server.store.tables import rows
from headrace_server.store.write import unit_of_work
from support.next_version.rows import MORE, RAW, UNKNOWN, with_raw, with_raw_attempts

RECORDS: Final[Mapping[str, Callable[[str], str]]] = {
    "retry": with_raw,
    "progress": with_raw,
    "error": with_raw,
    "stop": with_raw,
    "attempts": with_raw_attempts,
}
"""The columns of a job that hold records, and how each is written."""
ROW_MAKERS: Final = {"_new_row": unit_of_work._ALL, "_changed_row": (*unit_of_work._CHANGING, "job_id")}

_log, _move = Draft._log, Draft.move


def more(make: Callable[[Job], Sequence[Any]], names: Sequence[str]) -> Callable[[Job], Sequence[Any]]:
    """Rows whose records have more."""
    places = [(place, RECORDS[name]) for place, name in enumerate(names) if name in RECORDS]

    def row_of(job: Job) -> Sequence[Any]:
        row = list(make(job))
        for place, write in places:
            if row[place]:
                row[place] = write(row[place])
        return tuple(row)

    return row_of


def log(draft: Draft, kind: EventKind, body: Mapping[str, Any]) -> None:
    """An event with more in its body; that a result was set is told by a kind of its own."""
    kind = word(EventKind, UNKNOWN) if kind is EventKind.RESULT_SET else kind
    _log(draft, kind, {**body, **MORE})


def move(draft: Draft, to: Status, *, cause: JobError | None = None, **new: Any) -> None:
    """A move; what could not be set up has a kind of error of its own."""
    if cause is not None and cause.kind is ErrorKind.SETUP_FAILED:
        cause = replace(cause, kind=word(ErrorKind, UNKNOWN))
    _move(draft, to, cause=cause, **new)


def write_more() -> None:
    """From now on this process is a server of the next version."""
    for name, columns in ROW_MAKERS.items():
        setattr(unit_of_work, name, more(getattr(unit_of_work, name), columns))
    Draft._log, Draft.move = log, move  # type: ignore[method-assign]
    about = rows.dumps
    instances.dumps = lambda said: f"{about(said)[:-1]},{RAW}}}"  # type: ignore[attr-defined] # its own name
