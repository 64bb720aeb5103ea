"""Status events from RabbitMQ: reading messages and choosing them. No broker is needed."""

import subprocess
import sys
from dataclasses import replace

import pytest

from headrace import events, info
from headrace._events.held import LONGEST_PAUSE, Held
from headrace._events.positions import RecentPositions
from headrace._events.selection import Selection
from headrace.errors import HeadraceError, InvalidArgument
from headrace.events import Broadcast, InvalidBroadcast, binding_keys, decode
from support.broadcasts import NOON, Message, message


def read(made: Message) -> Broadcast:
    """What decode makes of a message."""
    return decode(made.headers, made.body, made.content_type)


def test_the_public_names_are_these() -> None:
    """A name that is added or taken away is a decision."""
    assert events.__all__ == [
        "Broadcast",
        "BrokerRefused",
        "EventConsumer",
        "InvalidBroadcast",
        "binding_keys",
        "decode",
    ]
    assert all(getattr(events, name).__name__ == name for name in events.__all__)


def test_reading_needs_no_pika() -> None:
    """headrace.events loads without it; headrace loads nothing of it."""
    loaded = (
        "import sys; sys.modules['pika'] = None; import headrace; assert 'headrace.events' not in sys.modules;"
        "import headrace.events as events; print(events.binding_keys())\n"
        "try: events.EventConsumer('q', print, url='amqp://127.0.0.1')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "('job.*.*.*',)",
        "EventConsumer needs pika: pip install 'headrace[amqp]'.",
    ]


@pytest.mark.parametrize("protobuf", [False, True])
def test_a_message_is_read_in_both_formats(protobuf: bool) -> None:
    """JSON and protobuf give the event that a watch shows, its id and the revision before it
    (acceptance 77).
    """
    made = message("j1", 7, 4, status="SUCCEEDED", tenant="acme", job_type="a.b", protobuf=protobuf)
    broadcast = read(made)
    assert (broadcast.id, broadcast.source, broadcast.previous_revision) == ("j1/7", "/headrace", 4)
    event = broadcast.event
    assert (event.job_id, event.revision, event.tenant, event.type) == ("j1", 7, "acme", "a.b")
    assert (event.status, event.final, event.event_time) == ("SUCCEEDED", True, NOON)
    assert event.detail == info.StatusChange(info.JobStatus.UNKNOWN, info.JobStatus.SUCCEEDED)


def test_headers_may_be_bytes_and_the_content_type_may_say_more() -> None:
    """Libraries differ in what they make of text; charset is allowed."""
    made = message("j1", 1)
    headers = {
        name: value.encode() if isinstance(value, str) else value for name, value in made.headers.items()
    }
    assert decode(headers, made.body, "Application/JSON; charset=utf-8").id == "j1/1"


def test_what_is_newer_is_left_out_or_unknown() -> None:
    """A field, a kind and a status that this client does not know do not keep it from reading."""
    made = message("j1", 3)
    body = (
        b'{"jobId": "j1", "revision": "3", "status": "JOB_STATUS_RESTING", "final": false,'
        b' "slept": {"sound": true}, "type": "demo"}'
    )
    event = read(replace(made, body=body, headers={**made.headers, "ce-type": "headrace.job.slept.v1"})).event
    assert (event.kind, event.status, event.detail) == ("UNKNOWN", "UNKNOWN", None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"headers": {}}, "no event of Headrace"),
        ({"headers": {"ce-type": "com.example.order.v1"}}, "no event of Headrace"),
        ({"headers": {"ce-specversion": "2.0"}}, "no event of Headrace"),
        ({"headers": {"ce-id": "j1/9"}}, "ce-id is j1/9, its body is j1/2"),
        ({"headers": {"ce-previousrevision": None}}, "ce-previousrevision is None"),
        ({"headers": {"ce-previousrevision": 2}}, "ce-previousrevision is 2"),
        ({"content_type": None}, "not None"),
        ({"content_type": "text/plain"}, "not 'text/plain'"),
        ({"body": b"{"}, "cannot be read as application/json"),
        ({"body": b"\xff"}, "cannot be read as application/json"),
        ({"body": b"\xff", "content_type": "application/protobuf"}, "cannot be read as application/protobuf"),
    ],
)
def test_a_message_that_is_none_of_ours_is_refused(changes: dict, says: str) -> None:
    """One exception, a HeadraceError and a ValueError, that says what is wrong."""
    made = message("j1", 2)
    if changes.get("headers"):
        changes = {"headers": {**made.headers, **changes["headers"]}}
    with pytest.raises(InvalidBroadcast, match=says) as refused:
        read(replace(made, **changes))
    assert isinstance(refused.value, HeadraceError)
    assert isinstance(refused.value, ValueError)


def test_a_message_without_headers_is_refused() -> None:
    """That is how most messages of others look."""
    with pytest.raises(InvalidBroadcast):
        decode(None, b"{}")


def test_keys_bind_by_tenant_and_type() -> None:
    """Every combination; what would be taken for a dot or a wildcard is escaped, byte by byte, and
    what is too long is cut.
    """
    assert binding_keys(tenants=["acme", "büro"], types=["image.resize", "a*#~b_c-d"]) == (
        "job.*.acme.image%2Eresize",
        "job.*.acme.a%2A%23%7Eb_c-d",
        "job.*.b%C3%BCro.image%2Eresize",
        "job.*.b%C3%BCro.a%2A%23%7Eb_c-d",
    )
    assert binding_keys(types=["x"]) == ("job.*.*.x",)
    assert binding_keys(tenants=["ü" * 50]) == (f"job.*.{'%C3%BC' * 16}%C3~.*",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"statuses": ["DONE"]}, "statuses: 'DONE' is none of PENDING"),
        ({"statuses": "RUNNING"}, "statuses: It is a list"),
        ({"statuses": ["UNKNOWN"]}, "none of"),
        ({"kinds": ["created"]}, "kinds: 'created' is none of CREATED"),
        ({"types": [""]}, "types: A name is empty"),
    ],
)
def test_what_cannot_be_chosen_is_named(options: dict, says: str) -> None:
    """The refusal names the argument."""
    with pytest.raises(InvalidArgument, match=says):
        Selection.of(**{"statuses": (), "tenants": (), "types": (), **options})


def test_a_selection_looks_at_kind_status_tenant_and_type() -> None:
    """All of them must fit; empty fits all; kinds are those that a server broadcasts unless told
    otherwise.
    """
    running = read(message("j1", 2, tenant="acme", job_type="a")).event
    logged = read(message("j1", 3, message_logged={"text": "hm"})).event
    assert Selection.of((), (), ()).has(running)
    assert Selection.of(["RUNNING"], ["acme"], ["a", "b"]).has(running)
    assert not Selection.of(["FAILED"], (), ()).has(running)
    assert not Selection.of((), ["other"], ()).has(running)
    assert not Selection.of((), (), ["b"]).has(running)
    assert not Selection.of((), (), ()).has(logged)
    assert Selection.of((), (), (), ["MESSAGE_LOGGED"]).has(logged)


def test_recent_positions_are_bounded() -> None:
    """What was not heard of longest is forgotten first."""
    positions = RecentPositions(kept=2)
    positions.update(a=1, b=1)
    positions["a"] = 2
    positions["c"] = 1
    assert dict(positions) == {"a": 2, "c": 1}
    del positions["a"]
    assert len(positions) == 1


def test_a_job_that_is_held_up_waits_alone_and_in_order() -> None:
    """Its later events stay behind the one that failed; pauses double up to a minute; other jobs
    are not touched.
    """
    now = [100.0]
    held: Held[str] = Held(clock=lambda: now[0])
    assert not held.add("a", "a1")
    assert held.failed("a", "a1") == 1
    assert held.add("a", "a2")
    assert not held.add("b", "b1")
    assert (held.due(), held.wait()) == (None, 1)
    now[0] += 1
    assert held.due() == "a1"
    assert held.failed("a", "a1") == 2
    assert held.failures("a") == 2
    now[0] += 2
    assert held.due() == "a1"
    held.settled("a")
    assert (held.due(), held.failures("a")) == ("a2", 0)
    held.settled("a")
    assert (held.due(), held.wait()) == (None, None)
    assert not held.add("a", "a3")
    assert [held.failed("a", "a3") for _ in range(10)][-1] == LONGEST_PAUSE


def test_pauses_outlive_a_connection() -> None:
    """What is delivered again waits for the rest of its pause: a flapping connection makes no loop
    hot.
    """
    now = [100.0]
    held: Held[str] = Held(clock=lambda: now[0])
    held.failed("a", "a1")
    held.forget()
    assert held.due() is None
    assert held.add("a", "a1 again")
    assert (held.due(), held.failures("a")) == (None, 1)
    now[0] += 1
    assert held.due() == "a1 again"
    held.forget()
    held.forget()
    assert not held.add("a", "it was never delivered again")
