"""Job <-> row and event <-> row.

A column has the name of its field. Statements name JOB_COLUMNS, in the order of the record,
whatever that of the table is.

Hot: every write passes here twice. Fields are read in one call (attrgetter), rows are taken by
place, and only the fields that need it are turned.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from json import JSONEncoder
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, Final

from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import MOVES, Attempt, Job, Kept, Status
from headrace_server.domain.open_enum import word
from headrace_server.store.tables.decoder import DECODERS, Plain, keep, keep_plain, mapping_of
from headrace_server.store.tables.raw_json import with_members
from headrace_server.store.tables.schema import job
from headrace_server.store.tables.statement import Row

# One encoder for all: json.dumps with options builds one for each call.
dumps = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

JOB_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Job) if field.name != "kept")
JOB_COLUMNS = tuple(job.c[name] for name in JOB_FIELDS)
"""The columns of a job that are selected for job_of."""
_ID = JOB_FIELDS.index("job_id")
_REVISION = JOB_FIELDS.index("revision")
_VERSION = JOB_FIELDS.index("version")


def _encode_record(record: Any) -> dict[str, Any]:
    """Return the fields of a record that differ from their defaults.

    The result is short, and a field added later needs no migration.
    """
    return {
        field.name: value
        for field in fields(record)
        if (value := getattr(record, field.name)) is not field.default and field.name != "unknown"
    }


def _text_of(record: Any) -> str:
    return with_members(dumps(_encode_record(record)), record.unknown)


def _encode_attempts(attempts: tuple[Attempt, ...]) -> str:
    return f"[{','.join(map(_attempt_text, attempts))}]"


def _attempt_text(attempt: Attempt) -> str:
    """The text of an attempt, member by member: each job is written with one at least twice."""
    end = "" if attempt.end_time is None else f',"end_time":{_value(attempt.end_time)}'
    error = "" if attempt.error is None else f',"error":{_text_of(attempt.error)}'
    unknown = f",{attempt.unknown}" if attempt.unknown else ""
    return (
        f'{{"number":{_value(attempt.number)},"start_time":{_value(attempt.start_time)},'
        f'"instance":{_value(attempt.instance)},"worker":{_value(attempt.worker)}{end}{error}{unknown}}}'
    )


def _value(value: object) -> str:
    """The JSON text of a number or a text, or of what a damaged row has in its place."""
    if type(value) is int:
        return str(value)
    return encode_basestring(value) if type(value) is str else dumps(value)


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "labels": lambda labels: dumps(dict(labels)),
    "retry": _text_of,
    "status": int,
    "locked": bool,
    "progress": _text_of,
    "error": _text_of,
    "attempts": _encode_attempts,
    "stop": _text_of,
}
"""How a field that is no plain number or text is written; what is empty is NULL."""

_JOB_DECODERS = [(place, name, DECODERS[name]) for place, name in enumerate(JOB_FIELDS) if name in DECODERS]

_PLAIN = {
    place: Plain(column.type.python_type, bool(column.nullable))
    for place, column in enumerate(JOB_COLUMNS)
    if column.name not in DECODERS
}
"""The columns that are numbers and texts, by their places."""

_EVENT = (str, str, str, int, int, int, int, int)
"""The types that the columns of an event hold, except its body."""

_unsound: dict[tuple[type, ...], list[int]] = {}
"""The columns of a row that hold a wrong type, by the types of all its columns.

Rows are alike, so a row costs one look.
"""
COUNT_MAX: Final = 2**31 - 1
"""Above every revision and version: the most that their columns hold on PostgreSQL."""
KINDS_MAX: Final = 1000
"""Remembered, however a database is damaged."""


def _find_unsound(kinds: tuple[type, ...]) -> list[int]:
    if len(_unsound) >= KINDS_MAX:
        _unsound.clear()
    return _unsound.setdefault(
        kinds, [place for place, plain in _PLAIN.items() if not plain.fits(kinds[place])]
    )


def job_of(row: Iterable[Any]) -> Job:
    """The job of a row of JOB_COLUMNS. Raises nothing: see decoder."""
    values = list(row)
    kept: tuple[Kept, ...] = ()
    kinds = tuple(map(type, values))
    unsound = _unsound.get(kinds)
    if unsound is None:
        unsound = _find_unsound(kinds)
    for place in unsound:
        stored, values[place] = values[place], _PLAIN[place].read(values[place])
        kept = (*kept, keep_plain(values[_ID], JOB_FIELDS[place], stored, values[place]))
    if not (0 < values[_REVISION] < COUNT_MAX and 0 <= values[_VERSION] < COUNT_MAX):
        kept = _keep_counts(values, kept)
    for place, name, decoder in _JOB_DECODERS:
        stored = values[place]
        if stored is None:
            values[place] = decoder.empty
            continue
        try:
            values[place] = decoder.exactly(stored)
        except Exception:  # noqa: BLE001 - of a later version, or damaged
            read = keep(values[_ID], name, stored)
            values[place] = read.value
            kept = (*kept, read)
    if kept:
        values.append(kept)
    return Job(*values)


def _keep_counts(values: list[Any], kept: tuple[Kept, ...]) -> tuple[Kept, ...]:
    """Keep a revision or a version from which no change could count on."""
    known = {part.name for part in kept}
    for place, least in ((_REVISION, 1), (_VERSION, 0)):
        name, stored = JOB_FIELDS[place], values[place]
        if name not in known and not least <= stored < COUNT_MAX:
            values[place] = 0
            kept = (*kept, keep_plain(values[_ID], name, stored, 0))
    return kept


def row_maker(names: Sequence[str]) -> Callable[[Job], Row]:
    """Return a function that turns a job into the values of these columns."""
    get = attrgetter(*names)
    encoders = [
        (place, _ENCODERS[name], DECODERS[name].empty)
        for place, name in enumerate(names)
        if name in _ENCODERS
    ]
    places = {name: place for place, name in enumerate(names)}

    def row_of(job: Job) -> Row:
        given = get(job)
        values = list(given)
        for place, encode, empty in encoders:
            value = values[place]
            values[place] = None if value is empty or value == empty else encode(value)
        for part in job.kept:
            place = places.get(part.name, -1)
            if place >= 0 and given[place] == part.value:
                values[place] = part.stored
        return tuple(values)

    return row_of


_MOVED: Final[dict[tuple[Any, Any], str]] = {
    (int(before), int(to)): dumps({"from": int(before), "to": int(to)}) for before, to in MOVES
}
_RETURNED: Final = {"name": ""}
_RETURNED_TEXT: Final = dumps(_RETURNED)


def _body_text(event: Event) -> str | None:
    """The text of an event's body. Of those that nearly every job has it was made once."""
    body = event.body
    if not body:
        return None
    if len(body) == 2 and (move := _MOVED.get((body.get("from"), body.get("to")))):  # noqa: PLR2004 - both
        return move
    return _RETURNED_TEXT if body == _RETURNED else dumps(body)


def event_row(event: Event, writer: int, seq: int) -> Row:
    """The row of an event at its place in the log, columns in the table's order."""
    return (
        event.job_id,
        event.revision,
        writer,
        seq,
        int(event.kind),
        event.at,
        event.attempt,
        int(event.status),
        _body_text(event),
    )


def event_of(row: Sequence[Any]) -> Event:
    """Return the event of a row.

    The row is (job_id, tenant, type, revision, at, attempt, status, kind, body). It raises nothing:
    see decoder.
    """
    job_id, tenant, kind_of_job, revision, at, attempt, status, kind, body = (
        row if (*map(type, row[:8]),) == _EVENT else _sound(row)
    )
    return Event(
        job_id,
        tenant,
        kind_of_job,
        revision,
        at,
        attempt,
        _STATUSES.get(status) or word(Status, status),
        _KINDS.get(kind) or word(EventKind, kind),
        mapping_of(body, whose=job_id, what="an event") if body else {},
    )


def _sound(row: Sequence[Any]) -> Iterator[Any]:
    """Yield what can be read of an event in which some columns hold a wrong type."""
    for kind, stored in zip(_EVENT, row, strict=False):
        yield stored if type(stored) is kind else Plain(kind, optional=False).read(stored)
    yield row[8]


_STATUSES: dict[Any, Status] = {int(status): status for status in Status}
_KINDS: dict[Any, EventKind] = {int(kind): kind for kind in EventKind}
