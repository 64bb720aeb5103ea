"""Define the frames of server and child: one header, as a JSON array, and one text behind it.

    to the child    [ticket, {run}] LF parameters              the fields of headrace.jobs.RunInfo by name
                    ["leave"]
    to the server   ["ready", {types: {type: [takes, settings]}, errors: {module: error}, fresh, concurrency: {type: runs}}]
                    ["refused", ticket]
                    ["begun", ticket, shared]
                    ["progress", done, total, message, at, ticket]
                    ["messages", [[level, text], …], dropped, partial, [written, written], ticket]
                    ["output", source, ticket] LF text         of a run that shares its process
                    ["result", name, ticket] LF value
                    ["finished", ticket, {error, aborted, retry, stop_seen, insisted, returned, held}] LF result
                    ["left", {type, what, detail, replaced}]
                    ["stray", thread, text]                    printed by a thread that speaks for no run, for the log
                    ["note", sentence]                         for the log
                    ["returned"] LF a run that wants a child of its own, as it was handed over
                    ["closing"]                                it takes nothing new, and what it has begun goes on
                    ["retiring"]

A record travels by the names of its fields, and without those at their defaults: so it is as short
as a list of its values, and a field more is one name more. Names that are not known, and what
stands behind the parts above, are passed over; what is missing has its default. So a worker that
was started after an upgrade of the files speaks with the server that was there before it.

A ticket is the pool's number for one run handed to one child. Parameters and results are JSON texts
already: behind the header they travel as they are, where inside it each would be escaped and parsed
twice more. fresh says that some types want a worker for each run; takes and settings are the
fingerprint of a type. concurrency has the types of which several runs may share a process. held says that the end counts only once the process is gone: threads of the
job still run in it. left names something that a run of a type has left in its process, and whether
that is replaced. partial says that Python code of the job has begun a line of output and not ended
it, written how many bytes it has sent to each pipe (`pipes`): what there is of it was said before
the messages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any

from headrace.jobs import Ending, RunInfo
from headrace_server.domain.bounds import COUNT_MAX, TIME_MAX, TIME_MIN
from headrace_server.domain.change import Message, Outcome
from headrace_server.domain.job import ErrorKind, JobError
from headrace_server.domain.open_enum import word
from headrace_server.work.executor import ProgressReport

MESSAGE_MAX = 4096
"""Bytes of a message, in UTF-8."""

SOURCE_JOB, SOURCE_STDOUT, SOURCE_STDERR = 1, 2, 3
"""The origins of a message, by the numbers of Message.Source in the contract."""

LEVEL_INFO, LEVEL_WARNING = 2, 3
"""Numbers of Message.Level in the contract."""

_SPEAKERS = {"progress": 5, "messages": 5, "output": 2, "result": 2}
"""By the kind of frame, the place of the ticket in its header."""

LEAVE = b'["leave"]\n'
"""Go when this is read, and let another take the place."""

_ERROR_FIELDS = frozenset(field.name for field in fields(JobError)) - {"unknown"}
_END_NAMES = tuple(field.name for field in fields(Ending) if field.name not in ("interrupted", "result"))
"""The fields that the end of a run has both in Ending and in Outcome.

The child has an Ending; the server makes an Outcome of it.
"""
_RUN_FIELDS = tuple(
    (field.name, field.default_factory() if field.default_factory is not MISSING else field.default)
    for field in fields(RunInfo)
    if field.name != "parameters"
)
_RUN_NAMES = frozenset(name for name, _default in _RUN_FIELDS)
_told_of = attrgetter(*(name for name, _default in _RUN_FIELDS))

# Bound here: a module of jobs that replaces json.loads for itself does so for all of its process.
_dumps = json.JSONEncoder(separators=(",", ":")).encode
_loads = json.JSONDecoder().decode


def encode(header: Sequence[Any], text: str = "") -> bytes:
    """A frame. The header is written in ASCII, so its end is the first line feed."""
    return f"{_dumps(header)}\n{text}".encode("utf-8", "replace")


def decode(frame: bytes) -> tuple[list[Any], str]:
    """Header and text of a frame."""
    header, _, text = frame.partition(b"\n")
    return _loads(header.decode()), text.decode()


def clean(text: str, limit: int | None = None) -> str:
    """A text as the contract has it: no NUL, no lone surrogates, not more than limit bytes."""
    if text.isascii() and "\0" not in text:
        return text[:limit]
    data = text.replace("\0", "").encode("utf-8", "replace")
    return data[:limit].decode("utf-8", "ignore")  # the cut may be inside a character


def run_frame(ticket: int, run: RunInfo) -> bytes:
    """A run, as it is handed to a child."""
    said = {
        name: value
        for (name, default), value in zip(_RUN_FIELDS, _told_of(run), strict=True)
        if value != default
    }
    return encode((ticket, said), run.parameters)


def ticket_of(frame: bytes) -> int:
    """The ticket of a run frame."""
    ticket, _, _ = frame[1:32].partition(b",")
    return int(ticket)


def is_run(frame: bytes) -> bool:
    """Whether a frame to the child hands over a run."""
    return frame[1:2].isdigit()


def speaker_of(header: Sequence[Any]) -> int | None:
    """Return the ticket of the run that a frame is of; None for the only one of its child."""
    place = _SPEAKERS[header[0]]
    return header[place] if len(header) > place else None


def run_of(frame: bytes) -> tuple[int, RunInfo]:
    """Ticket and run of a run frame."""
    (ticket, said, *_), parameters = decode(frame)
    known = {name: value for name, value in said.items() if name in _RUN_NAMES}
    return ticket, RunInfo(**known, parameters=parameters)


def progress_of(header: Sequence[Any]) -> ProgressReport:
    """Return the progress of a progress frame, within the bounds of the contract.

    A job's clock may show any time.
    """
    _kind, done, total, message, at = header[:5]
    in_all = None if total is None else _within(total, 0, COUNT_MAX)
    return ProgressReport(_within(done, 0, COUNT_MAX), in_all, message, _within(at, TIME_MIN, TIME_MAX))


def _within(number: int, least: int, most: int) -> int:
    return min(max(int(number), least), most)


def messages_of(header: Sequence[Any]) -> tuple[list[Message], int]:
    """Return the messages of a messages frame, and how many more were thrown away."""
    return [Message(said[0], SOURCE_JOB, said[1]) for said in header[1]], header[2]


def ends_line(header: Sequence[Any]) -> bool:
    """Whether what there is of a line was said before the messages of this frame."""
    return bool(header[3])


def is_held(header: Sequence[Any]) -> bool:
    """Whether a finished frame counts only once the process is gone."""
    return bool(header[2].get("held"))


def finished(ticket: int, ending: Ending, *, held: bool) -> bytes:
    """The end of a run, as its child says it."""
    said = {name: value for name in _END_NAMES if (value := getattr(ending, name))}
    if ending.result is not None:
        said["returned"] = True
    if held:
        said["held"] = True
    return encode(("finished", ticket, said), ending.result or "")


def outcome_of(header: Sequence[Any], result: str) -> Outcome:
    """Return the outcome of a finished frame."""
    said: Mapping[str, Any] = header[2]
    known = {name: said[name] for name in _END_NAMES if name in said}
    if error := known.get("error"):
        fitting = {name: value for name, value in error.items() if name in _ERROR_FIELDS}
        known["error"] = JobError(**{**fitting, "kind": word(ErrorKind, fitting["kind"])})
    return Outcome(**known, result=result if said.get("returned") else None)
