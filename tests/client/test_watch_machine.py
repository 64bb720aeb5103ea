"""The watch as a state machine: no server, no clock but the test's own."""

import pytest
from client.scripted import event, finished, heartbeat, progress, snapshot

from headrace import errors, info
from headrace._flows.watch import Watch
from headrace.v1 import job_pb2
from headrace.v1 import job_service_pb2 as pb

CUT = errors.Unavailable("cut", code="UNAVAILABLE")
BUSY = errors.Unavailable("The database is away.", code="UNAVAILABLE", reason="STORE_UNAVAILABLE")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The watch's clock."""
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Watch:
    """A watch of j1 from its present state."""
    return Watch(pb.WatchJobRequest(tenant="t", job_id="j1"), timeout=None, patience=60, clock=clock)


def test_it_resumes_after_the_last_revision_that_it_has_shown(watch: Watch) -> None:
    """Before the snapshot the first request is sent again; then the cursor is the snapshot's, then
    the event's.
    """
    assert not watch.request().HasField("after_revision")
    watch.failed(CUT, known=True)
    assert not watch.request().HasField("after_revision")
    watch.received(snapshot(revision=3))
    assert watch.request().after_revision == 3
    watch.received(event(4))
    assert (watch.request().after_revision, watch.request().tenant) == (4, "t")


def test_it_resumes_from_the_beginning_when_asked_to(clock: Clock) -> None:
    """after_revision 0 is not the same as none."""
    first = pb.WatchJobRequest(job_id="j1", after_revision=0)
    watch = Watch(first, timeout=None, patience=60, clock=clock)
    assert watch.request().HasField("after_revision")
    assert watch.request().after_revision == 0


def test_options_go_with_it(clock: Clock) -> None:
    """A resumed stream is asked for the same messages and the same rate of progress."""
    first = pb.WatchJobRequest(job_id="j1", include_messages=True, min_progress_interval={"seconds": 2})
    watch = Watch(first, timeout=None, patience=60, clock=clock)
    watch.received(snapshot())
    assert watch.request().include_messages
    assert watch.request().min_progress_interval.seconds == 2


def test_it_never_shows_an_event_twice(watch: Watch) -> None:
    """Events at or before the cursor are dropped, and a second snapshot."""
    watch.received(snapshot(revision=3))
    assert watch.received(event(3)) is None
    assert watch.received(event(4)).revision == 4
    assert watch.received(event(4)) is None
    assert watch.received(snapshot(revision=9)) is None
    assert watch.received(event(6)).revision == 6  # 5 was a message, which was not asked for


def test_a_hole_in_the_full_history_is_an_error(clock: Clock) -> None:
    """With messages every revision is due: a hole is the server's fault and is not passed over."""
    first = pb.WatchJobRequest(job_id="j1", after_revision=2, include_messages=True)
    watch = Watch(first, timeout=None, patience=60, clock=clock)
    watch.received(event(3))
    with pytest.raises(errors.InternalError, match="from revision 3 to 5"):
        watch.received(event(5))


def test_heartbeats_and_unknown_updates_are_swallowed(watch: Watch) -> None:
    """They say nothing to the caller and leave the cursor alone."""
    watch.received(snapshot(revision=3))
    assert watch.received(heartbeat(7)) is None
    assert watch.received(job_pb2.JobUpdate()) is None
    assert watch.request().after_revision == 3


def test_finished_ends_it(watch: Watch) -> None:
    """The last item is the job as it ended."""
    assert isinstance(watch.received(snapshot()), info.Snapshot)
    assert watch.received(progress(5)).done == 5
    assert not watch.finished
    assert watch.received(finished("FAILED")).job.status is info.JobStatus.FAILED
    assert watch.finished


@pytest.mark.parametrize(
    "error",
    [
        CUT,
        errors.Unavailable("draining", code="UNAVAILABLE", reason="DRAINING", retry_after=0.5),
        errors.Overloaded("full", code="RESOURCE_EXHAUSTED", reason="TOO_MANY_WATCHERS", retry_after=0.5),
        errors.InternalError("Received RST_STREAM with error code 2", code="INTERNAL"),
        errors.InternalError("Stream removed", code="UNKNOWN"),
        errors.Cancelled("RST_STREAM", code="CANCELLED"),
        None,
    ],
)
def test_it_goes_on_after(watch: Watch, error: errors.HeadraceError | None) -> None:
    """A server that is away or full, a reset transport, and an end without `finished` are no end."""
    assert 0 < watch.failed(error, known=True) < 1


@pytest.mark.parametrize(
    "error",
    [
        errors.JobNotFound("gone", code="NOT_FOUND", reason="JOB_NOT_FOUND"),
        errors.OutOfRange("ahead", code="OUT_OF_RANGE", reason="REVISION_AHEAD"),
        errors.InternalError("id 7", code="INTERNAL", reason="INTERNAL", metadata={"error_id": "7"}),
        errors.InternalError("Exception deserializing response!", code="INTERNAL"),
        errors.Overloaded("full", code="RESOURCE_EXHAUSTED"),
        errors.DeadlineExceeded("late", code="DEADLINE_EXCEEDED"),
        errors.PermissionDenied("no", code="PERMISSION_DENIED"),
        errors.Cancelled("The client is closed."),
    ],
)
def test_it_ends_with(watch: Watch, error: errors.HeadraceError | None) -> None:
    """Any other status is final."""
    watch.received(snapshot())
    with pytest.raises(type(error)) as raised:
        watch.failed(error, known=True)
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "wanted"),
    [(CUT, [0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5]), (BUSY, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])],
)
def test_waits_grow_and_begin_short_again(
    watch: Watch, clock: Clock, error: errors.HeadraceError, wanted: list[float]
) -> None:
    """0.1 s doubles up to 0.5 s where nobody answers, else up to 5 s, jittered to the half; a sign
    of the server begins anew.
    """
    watch.received(snapshot())
    delays = [watch.failed(error, known=True) for _ in wanted]
    assert all(full / 2 <= delay <= full for delay, full in zip(delays, wanted, strict=True))
    clock.now += 30
    watch.received(heartbeat(3))
    assert watch.failed(CUT, known=True) <= 0.1


def test_retry_info_is_a_lower_bound(watch: Watch) -> None:
    """The server's delay is kept, spread by up to half."""
    error = errors.Overloaded("full", code="RESOURCE_EXHAUSTED", retry_after=2)
    assert 2 <= watch.failed(error, known=True) <= 3


def test_it_gives_up_on_a_server_that_was_never_there(watch: Watch) -> None:
    """Where nobody was ever seen the fifth failure is raised."""
    for _ in range(4):
        watch.failed(CUT, known=False)
    with pytest.raises(errors.Unavailable):
        watch.failed(CUT, known=False)


def test_it_gives_up_on_a_server_that_stays_away(watch: Watch, clock: Clock) -> None:
    """Where somebody was seen, patience counts from the failure that began the silence."""
    watch.received(snapshot())
    clock.now += 500
    for _ in range(20):
        watch.failed(CUT, known=True)
    clock.now += 60
    with pytest.raises(errors.Unavailable):
        watch.failed(CUT, known=True)


def test_it_can_be_patient_for_ever(clock: Clock) -> None:
    """Patience None has no end."""
    watch = Watch(pb.WatchJobRequest(job_id="j1"), timeout=None, patience=None, clock=clock)
    watch.received(snapshot())
    watch.failed(CUT, known=True)
    clock.now += 1e6
    assert watch.failed(CUT, known=True) > 0


def test_a_limit_that_is_over_is_not_the_servers_fault() -> None:
    """When the caller's own time is over the error says how the job stood; only a server that never
    spoke is blamed.
    """
    late = errors.DeadlineExceeded("it had not answered", code="DEADLINE_EXCEEDED")
    silent = Watch(pb.WatchJobRequest(job_id="j1"), timeout=2, patience=60)
    with pytest.raises(errors.DeadlineExceeded, match="it had not answered"):
        silent.failed(late, known=True)
    quiet = Watch(pb.WatchJobRequest(job_id="j1", after_revision=3), timeout=2, patience=60)
    quiet.received(heartbeat(3))
    with pytest.raises(errors.DeadlineExceeded, match=r"^Job j1 had not ended after 2 s\.$"):
        quiet.failed(late, known=True)
    spoken = Watch(pb.WatchJobRequest(job_id="j1"), timeout=2, patience=60)
    spoken.received(snapshot())
    with pytest.raises(errors.DeadlineExceeded, match=r"^Job j1 was still \w+ after 2 s\.$"):
        spoken.failed(late, known=True)


def test_its_timeout_bounds_streams_and_waits(clock: Clock) -> None:
    """Each stream gets what is left, and no wait goes beyond it."""
    watch = Watch(pb.WatchJobRequest(job_id="j1"), timeout=10, patience=60, clock=clock)
    watch.received(snapshot())
    clock.now += 9.99
    assert watch.remaining() == pytest.approx(0.01)
    with pytest.raises(errors.Unavailable):
        watch.failed(CUT, known=True)


def test_a_run_becomes_a_watch_once_its_job_is_known(clock: Clock) -> None:
    """RunJob is repeated with its request_id until the snapshot; then WatchJob resumes."""
    first = pb.RunJobRequest(tenant="t", request_id="r", include_messages=True)
    watch = Watch(first, timeout=None, patience=60, clock=clock)
    watch.failed(CUT, known=True)
    assert watch.request() is first
    watch.received(snapshot(revision=2))
    resumed = watch.request()
    assert isinstance(resumed, pb.WatchJobRequest)
    assert (resumed.tenant, resumed.job_id, resumed.after_revision) == ("t", "j1", 2)
    assert resumed.include_messages
