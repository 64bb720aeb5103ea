"""What a later version says in a frame, or puts into a page token, is read by this one."""

import base64
import json
from dataclasses import fields, make_dataclass, replace
from typing import Any

import pytest

from headrace.jobs import Ending, RunInfo
from headrace_server.control.jobs import pages
from headrace_server.domain.errors import InvalidPageToken
from headrace_server.domain.job import ErrorKind
from headrace_server.domain.open_enum import is_known, word
from headrace_server.domain.query import Filter, Order
from headrace_server.work.ipc import frames

OWN: dict[str, Any] = {"labels": {"k": "v"}, "parameters": '{"a":1}'}
RUN = RunInfo(
    **{one.name: OWN.get(one.name, f"a {one.name}" if one.type is str else 7) for one in fields(RunInfo)}
)
"""A run without a field that is at its default."""
ERROR = {"kind": 1, "message": "m", "code": "", "type": "", "step": "", "traceback": ""}


def later(frame: bytes) -> bytes:
    """A frame with one more name in each of its records, one more part in its header, and one more
    still.
    """
    header, text = frames.decode(frame)
    wider = [{**part, "colour": "red"} if isinstance(part, dict) else part for part in header]
    return frames.encode([*wider, {"colour": "red"}, 5], text)


def test_a_run_with_more() -> None:
    """A worker reads what it knows of a run."""
    assert frames.run_of(later(frames.run_frame(7, RUN))) == (7, RUN)
    assert frames.ticket_of(later(frames.run_frame(7, RUN))) == 7


def test_a_run_with_less() -> None:
    """A field that an earlier version does not send has its default; one at its default is not
    sent.
    """
    least = RunInfo("j", 1, "t")
    assert not [field.name for field in fields(RunInfo) if field.default == getattr(RUN, field.name)]
    assert frames.decode(frames.run_frame(7, least)) == ([7, {"job_id": "j", "claim": 1, "type": "t"}], "{}")
    assert frames.run_of(frames.run_frame(7, least)) == (7, least)


@pytest.mark.parametrize("ending", [Ending(), Ending(result='"x"', insisted=True, stop_seen=True)])
def test_an_end_as_it_was_said(ending: Ending) -> None:
    """What a child says of an end is what the server reads."""
    header, result = frames.decode(frames.finished(7, ending, held=False))
    outcome = frames.outcome_of(header, result)
    assert not frames.is_held(header)
    for name in ("aborted", "retry", "stop_seen", "insisted", "result", "error"):
        assert getattr(outcome, name) == getattr(ending, name)


def test_reports_with_more() -> None:
    """The server reads what it knows of progress, messages and an end."""
    progress, _ = frames.decode(later(frames.encode(("progress", 1, 2, "m", 3))))
    assert frames.progress_of(progress) == frames.progress_of(["progress", 1, 2, "m", 3])
    messages, _ = frames.decode(later(frames.encode(("messages", [[2, "said", "red"]], 4))))
    assert [(one.level, one.text) for one in frames.messages_of(messages)[0]] == [(2, "said")]
    ending = Ending({**ERROR, "kind": 42, "colour": "red"}, retry=True)
    header, _ = frames.decode(later(frames.finished(7, ending, held=True)))
    outcome = frames.outcome_of(header, "")
    assert outcome.error is not None
    assert (outcome.error.kind.name, int(outcome.error.kind), outcome.error.message) == ("UNKNOWN", 42, "m")
    assert (outcome.retry, outcome.stop_seen, frames.is_held(header)) == (True, False, True)


@pytest.mark.parametrize("number", [42, -1, 2**70, "x", None, 0.5])
def test_a_word_that_is_not_known(number: Any) -> None:
    """It is UNKNOWN, keeps its number, and is none of those that are known; those are themselves."""
    made = word(ErrorKind, number)
    assert (made.name, is_known(made)) == ("UNKNOWN", False)
    assert int(made) == (number if isinstance(number, int) else 0)
    assert made not in set(ErrorKind)
    assert all(word(ErrorKind, int(kind)) is kind and is_known(kind) for kind in ErrorKind)


QUERY = ("tenant", Filter(owners=("me",)), Order.CREATE_TIME_DESC)


def test_a_page_token_with_more() -> None:
    """A place that says more than this version asks for is read; one that says less, or of another
    query, is refused.
    """
    assert pages.read_token(QUERY, pages.make_token(QUERY, (5, "j", "red")), (int, str)) == (5, "j")
    for token in (pages.make_token(QUERY, (5,)), pages.make_token(("other", *QUERY[1:]), (5, "j"))):
        with pytest.raises(InvalidPageToken):
            pages.read_token(QUERY, token, (int, str))
    no_list = base64.urlsafe_b64encode(json.dumps({"place": 5}).encode()).decode()
    with pytest.raises(InvalidPageToken):
        pages.read_token(QUERY, no_list, (int, str))


def test_a_page_token_of_a_filter_with_one_more_field() -> None:
    """A filter to which a later version has added a field that is not used is the same query; one
    that uses it is another.
    """
    wider: Any = make_dataclass("Filter", [("colours", tuple, ())], bases=(Filter,), frozen=True)
    same = asked_with(wider(owners=("me",)))
    token = pages.make_token(same, (5, "j"))
    assert pages.read_token(QUERY, token, (int, str)) == (5, "j")
    with pytest.raises(InvalidPageToken):
        pages.read_token(
            QUERY, pages.make_token(asked_with(wider(owners=("me",), colours=("red",))), (5, "j")), (int, str)
        )
    with pytest.raises(InvalidPageToken):
        pages.read_token(("tenant", replace(QUERY[1], owners=("you",)), QUERY[2]), token, (int, str))


def asked_with(which: Any) -> tuple[Any, ...]:
    """The query with this filter."""
    return ("tenant", which, Order.CREATE_TIME_DESC)
