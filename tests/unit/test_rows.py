"""Texts that rows are written with member by member are those that the encoder would write."""

import json

from hypothesis import given
from hypothesis import strategies as st

from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import MOVES, Attempt, ErrorKind, Job, JobError, Status
from headrace_server.store.tables import rows

_write = rows.row_maker(["attempts", "job_id"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
TIMES = st.integers(-(2**63), 2**63 - 1)
ATTEMPTS = st.builds(
    Attempt,
    TIMES,
    TIMES,
    TEXTS,
    TEXTS,
    end_time=st.none() | TIMES,
    error=st.none() | st.builds(JobError, st.sampled_from(ErrorKind), TEXTS, type=TEXTS),
)
BODIES = st.dictionaries(st.sampled_from(["from", "to", "name", "error"]), st.integers(0, 9) | TEXTS)


def _members(record: object) -> dict[str, object]:
    """What is stored of a record: its fields that say something."""
    return {
        name: _members(value) if isinstance(value, JobError) else value
        for name in record.__slots__  # type: ignore[attr-defined] # a record has some
        if (value := getattr(record, name)) not in (None, "") or name in ("instance", "worker", "message")
    }


@given(st.lists(ATTEMPTS, min_size=1, max_size=3))
def test_attempts(attempts: list[Attempt]) -> None:
    """The text of attempts is that of their members in order, and is read again as what they were."""
    text, _ = _write(Job("t", attempts=tuple(attempts), job_id="j"))
    assert text == rows.dumps([_members(one) for one in attempts])


def test_an_attempt_of_wrong_types() -> None:
    """What a damaged row has in place of a number or a text is written as it was read."""
    damaged = Attempt("1", 2.5, None, 3, end_time=True)  # type: ignore[arg-type] # damaged
    text, _ = _write(Job("t", attempts=(damaged,), job_id="j"))
    assert json.loads(text) == [
        {"number": "1", "start_time": 2.5, "instance": None, "worker": 3, "end_time": True}
    ]


@given(st.sampled_from(sorted(EventKind)), BODIES)
def test_bodies_of_events(kind: EventKind, body: dict[str, object]) -> None:
    """An event's body is stored as the encoder writes it, whatever its kind; an empty one is none."""
    event = Event("j", "t", "x", 1, 2, 3, Status.QUEUED, kind, body)
    assert rows.event_row(event, 1, 1)[-1] == (rows.dumps(body) if body else None)


def test_bodies_of_moves() -> None:
    """Those of the legal moves likewise."""
    for before, to in MOVES:
        body = {"from": int(before), "to": int(to)}
        event = Event("j", "t", "x", 1, 2, 3, to, EventKind.STATUS_CHANGED, body)
        assert rows.event_row(event, 1, 1)[-1] == rows.dumps(body)
