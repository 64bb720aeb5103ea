"""What server and child say to each other: one header, as a JSON array, and one text behind it.

    to the child    [ticket, job_id, claim, type, attempt, tenant, owner, session_id, description, traceparent, labels] LF parameters
                    ["leave"]
    to the server   ["ready", [types], {module: error}, fresh, {type: [takes, settings]}]
                    ["refused", ticket]
                    ["begun", ticket]
                    ["progress", done, total, message, at]
                    ["messages", [[level, text], …], dropped, partial, [written, written]]
                    ["result", name] LF value
                    ["finished", ticket, error, aborted, retry, stop_seen, insisted, returned, held] LF result
                    ["left", type, what, detail, replaced]
                    ["stray", thread, text]                    printed by a thread that speaks for no run, for the log
                    ["note", sentence]                         for the log
                    ["returned"] LF a run that wants a child of its own, as it was handed over
                    ["retiring"]

What a later version says behind these is passed over: a worker that was started after an upgrade speaks with the server
that was there before it.

A ticket is the pool's number for one run handed to one child. Parameters and results are JSON texts already:
behind the header they travel as they are, where inside it each would be escaped and parsed twice more. fresh says that some
types want a worker for each run; takes and settings are the fingerprint of a type. held
says that the end counts only once the process is gone: threads of the job still run in it. left names something that a
run of a type has left in its process, and whether that is replaced. partial says that Python code of the job has begun a
line of output and not ended it, written how many bytes it has sent to each pipe (`pipes`): what there is of it was said before the messages.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from headrace_server.domain.bounds import COUNT_MAX, TIME_MAX, TIME_MIN
from headrace_server.domain.change import Message, Outcome
from headrace_server.domain.job import ErrorKind, JobError
from headrace_server.domain.open_enum import word
from headrace_server.work.ipc.contract import ProgressReport, Run, RunKey

MESSAGE_MAX = 4096
"""Bytes of a message, in UTF-8."""

SOURCE_JOB, SOURCE_STDOUT, SOURCE_STDERR = 1, 2, 3
"""Where a message came from; the numbers of Message.Source in the contract."""

LEVEL_INFO, LEVEL_WARNING = 2, 3
"""Numbers of Message.Level in the contract."""

LEAVE = b'["leave"]\n'
"""Go when this is read, and let another take the place."""

_ERROR_FIELDS = frozenset(field.name for field in fields(JobError))

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


def run_frame(ticket: int, run: Run) -> bytes:
    """A run, as it is handed to a child."""
    header = (
        ticket,
        run.key.job_id,
        run.key.claim,
        run.type,
        run.attempt,
        run.tenant,
        run.owner,
        run.session_id,
        run.description,
        run.traceparent,
        dict(run.labels),
    )
    return encode(header, run.parameters)


def ticket_of(frame: bytes) -> int:
    """The ticket of a run frame."""
    ticket, _, _ = frame[1:32].partition(b",")
    return int(ticket)


def run_of(frame: bytes) -> tuple[int, Run]:
    """Ticket and run of a run frame."""
    header, parameters = decode(frame)
    ticket, job_id, claim, kind, attempt, tenant, owner, session_id, description, trace, labels = header[:11]
    key = RunKey(job_id, claim)
    return ticket, Run(key, kind, attempt, tenant, owner, session_id, description, trace, labels, parameters)


def progress_of(header: Sequence[Any]) -> ProgressReport:
    """What a progress frame says, as far as the contract can tell it: a job's clock may be any."""
    _kind, done, total, message, at = header[:5]
    in_all = None if total is None else _within(total, 0, COUNT_MAX)
    return ProgressReport(_within(done, 0, COUNT_MAX), in_all, message, _within(at, TIME_MIN, TIME_MAX))


def _within(number: int, least: int, most: int) -> int:
    return min(max(int(number), least), most)


def messages_of(header: Sequence[Any]) -> tuple[list[Message], int]:
    """What a messages frame says: messages, and how many more were thrown away."""
    return [Message(said[0], SOURCE_JOB, said[1]) for said in header[1]], header[2]


def ends_line(header: Sequence[Any]) -> bool:
    """Whether what there is of a line was said before the messages of this frame."""
    return bool(header[3])


def is_held(header: Sequence[Any]) -> bool:
    """Whether a finished frame counts only once the process is gone."""
    return bool(header[8])


def outcome_of(header: Sequence[Any], result: str) -> Outcome:
    """What a finished frame says."""
    _kind, _ticket, error, aborted, retry, stop_seen, insisted, returned = header[:8]
    if error is not None:
        known = {name: value for name, value in error.items() if name in _ERROR_FIELDS}
        error = JobError(**{**known, "kind": word(ErrorKind, known["kind"])})
    return Outcome(error, aborted, retry, stop_seen, insisted, result=result if returned else None)
