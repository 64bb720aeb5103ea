"""The server is killed with SIGKILL at each step of a job's life, and started again on the same
file and port.

Beside the job that is there at that moment another one runs, with a grandchild in a session of its
own.
"""

import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from headrace import JobHandle
from headrace.errors import WrongStatus
from headrace.v1 import job_service_pb2, job_service_pb2_grpc
from support import checker_journal
from support.checker import judge
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.history import statuses
from support.phases import Doomed, Phase
from support.server import until

pytestmark = pytest.mark.slow

CLAIMED = ["PENDING", "QUEUED", "TO_BE_RUN"]
STARTED = [*CLAIMED, "RUNNING"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doomed]:
    """A server of two workers, killed by each test and left running by each."""
    server = Doomed(tmp_path_factory.mktemp("doomed"), workers=2).start()
    try:
        yield server
    finally:
        server.close()


class Scene:
    """What stands around a kill: a neighbour that runs, with a grandchild, and its watcher."""

    def __init__(self, server: Doomed, folder: Path) -> None:
        self.server = server
        self.evidence = Evidence(folder / "log")
        self.gate = folder / "gate"
        self.mark = uuid.uuid4().hex
        self.client = server.client(timeout=60, wait_for_ready=True)
        self.witness = Witness(self.evidence, self.client)
        self.neighbour = self.witness.submit(
            f"neighbour of {self.mark}",
            parameters={"gate": str(self.gate), "grandchild": str(folder / "pid")},
            attempts=2,
        )
        self.followers = [self.witness.follow(self.neighbour.job_id)]
        note = folder / "pid"
        until(
            lambda: note.exists() and note.read_text().endswith("\n"), "the neighbour and its grandchild run"
        )
        self.grandchild = int(note.read_text())
        until(lambda: self.grandchild in server.processes(), "the grandchild has its environment")
        self.followers[0].open()
        self._calls: list[threading.Thread] = []

    def submit(self, *, attempts: int = 1, hold: bool = True, gate: str = "") -> JobHandle:
        """Submit the job that the server is to die with; repeated, it is the same submit."""
        return self.witness.submit(self.mark, parameters={"gate": gate}, attempts=attempts, hold=hold)

    def follow(self, job: JobHandle) -> None:
        """Open a watch of it."""
        follower = self.witness.follow(job.job_id)
        self.followers.append(follower)
        follower.open()

    def call(self, verb: object, **options: object) -> None:
        """Make a call that the server will not answer in this life."""

        def make() -> None:
            with suppress(WrongStatus):  # repeated by the client, it comes when the job has ended
                verb(**options)  # type: ignore[operator] # a verb of the client

        thread = threading.Thread(target=make)
        thread.start()
        self._calls.append(thread)

    def die_and_rise(self, phase: Phase, before: set[int] | None = None) -> None:
        """Wait for the death, start again at once: nothing that the old life started is left by
        then. before: what it had started, where it may be dead already.
        """
        before = before or set(self.server.processes())
        assert self.grandchild in before
        assert self.server.wait() == -9
        self.evidence.kills[phase] += 1
        self.gate.touch()
        with self.evidence.away():
            self.server.start()
        assert not before & set(self.server.processes())

    def idle(self) -> bool:
        """Whether no call is under way."""
        return not any(thread.is_alive() for thread in self._calls)

    def answered(self) -> None:
        """Wait until the calls that were cut off have been answered by the next life."""
        for thread in self._calls:
            thread.join(60)
            assert not thread.is_alive()

    def ended(self) -> dict[str, list[str]]:
        """Check everything when all has ended; answer the statuses that each job went through."""
        self.answered()
        for follower in self.followers:
            follower.updates()
        report = judge(self.evidence, self.client)
        assert self.neighbour.refresh().result == 2
        assert self.runs(self.neighbour) == [1, 2]
        return {job_id: statuses(events) for job_id, events in report.histories.items()}

    def runs(self, job: JobHandle) -> list[int]:
        """The attempts with which a job's code has begun."""
        return checker_journal.starts(self.evidence.log, job.job_id)


@pytest.fixture
def scene(server: Doomed, tmp_path: Path) -> Iterator[Scene]:
    """The scene of one kill; where the test before has failed and left no server, on a new one."""
    if server.process.poll() is not None:
        server.start()
    scene = Scene(server, tmp_path)
    yield scene
    scene.gate.touch()
    scene.client.close()


@pytest.mark.parametrize("phase", [Phase.STORING, Phase.STORED])
def test_killed_in_a_submit(server: Doomed, scene: Scene, phase: Phase) -> None:
    """A submit whose answer the kill has cut off makes one job when it is repeated (failure cases
    1, 22).
    """
    server.choose(phase, scene.mark)
    scene.call(scene.submit, hold=False)
    scene.die_and_rise(phase)
    scene.answered()
    job = scene.submit(hold=False)
    assert job.existing
    scene.follow(job)
    assert scene.witness.wait(job.job_id).status == "SUCCEEDED"
    scene.ended()
    assert scene.runs(job) == [1]


@pytest.mark.parametrize("attempts", [1, 2])
def test_killed_behind_a_direct_start(server: Doomed, scene: Scene, attempts: int) -> None:
    """A job that was stored, claimed and permitted in one commit that nobody was told of is one job
    when its submit is repeated, and follows the attempt rule: its code has not begun (failure cases
    1, 22).
    """
    before = set(server.processes())
    while server.process.poll() is None:  # a claim may be under way just then: the next has its chance
        scene.mark = uuid.uuid4().hex
        server.choose(Phase.STARTING, scene.mark)
        scene.call(scene.submit, hold=False, attempts=attempts)
        until(lambda: scene.idle() or server.process.poll() is not None, "it was answered, or died")
    scene.die_and_rise(Phase.STARTING, before)
    scene.answered()
    job = scene.submit(hold=False, attempts=attempts)
    assert job.existing
    scene.follow(job)
    ended = scene.witness.wait(job.job_id)
    lost = ended.attempts[0].error
    assert lost is not None
    assert lost.kind == "INSTANCE_LOST"
    assert (ended.status, len(ended.attempts)) == (("FAILED", 1) if attempts == 1 else ("SUCCEEDED", 2))
    scene.ended()
    assert scene.runs(job) == list(range(2, attempts + 1))


@pytest.mark.parametrize("phase", [Phase.CLAIMED, Phase.PERMITTING])
def test_killed_before_the_permit(server: Doomed, scene: Scene, phase: Phase) -> None:
    """A job without a permit goes back to the queue at no cost, and runs once (failure case 1)."""
    server.choose(phase, scene.mark)
    job = scene.submit()  # it is answered behind every claim that had not heard of the choice
    scene.follow(job)
    scene.call(job.release)
    scene.die_and_rise(phase)
    assert scene.ended()[job.job_id] == [*CLAIMED, "QUEUED", "TO_BE_RUN", "RUNNING", "SUCCEEDED"]
    assert scene.runs(job) == [1]


@pytest.mark.parametrize(
    ("phase", "attempts", "begun"),
    [
        (Phase.PERMITTED, 1, {0}),
        (Phase.PERMITTED, 2, {0}),
        (Phase.SENT, 1, {0, 1}),
        (Phase.BEGUN, 2, {0, 1}),
        (Phase.RUNNING, 1, {1}),
        (Phase.RUNNING, 2, {1}),
        (Phase.FINISHING, 1, {1}),
        (Phase.FINISHING, 2, {1}),
        (Phase.ENDING, 1, {1}),
    ],
)
def test_killed_with_a_permit(
    server: Doomed, scene: Scene, phase: Phase, attempts: int, begun: set[int]
) -> None:
    """A job with a permit follows the attempt rule, and no attempt runs twice (failure case 1)."""
    job = scene.submit(attempts=attempts)
    scene.follow(job)
    server.choose(phase, scene.mark)
    scene.call(job.release)
    scene.die_and_rise(phase)
    moves = scene.ended()[job.job_id]
    ended = job.refresh()
    lost = ended.attempts[0].error
    assert lost is not None
    assert lost.kind == "INSTANCE_LOST"
    if attempts == 1:
        assert moves == [*STARTED, "FAILED"]
    else:
        assert moves == [*STARTED, "QUEUED", "TO_BE_RUN", "RUNNING", "SUCCEEDED"]
        assert ended.result == 2
    runs = scene.runs(job)
    assert runs.count(1) in begun
    assert [run for run in runs if run > 1] == list(range(2, attempts + 1))


def test_killed_in_a_stop(server: Doomed, scene: Scene, tmp_path: Path) -> None:
    """A stop that is on disk is kept: the lost run is ABORTED, confirmed, never repeated (failure
    cases 1, 4).
    """
    job = scene.submit(attempts=5, hold=False, gate=str(tmp_path / "never"))
    until(lambda: scene.runs(job), "the job runs")
    scene.follow(job)
    server.choose(Phase.STOPPING, scene.mark)
    scene.call(scene.witness.stop, job_id=job.job_id, reason=scene.mark, grace=3600)
    scene.die_and_rise(Phase.STOPPING)
    assert scene.ended()[job.job_id] == ["QUEUED", "TO_BE_RUN", "RUNNING", "ABORTED"]
    ended = job.refresh()
    assert ended.stop is not None
    assert ended.stop.confirmed
    assert scene.runs(job) == [1]


def test_killed_behind_the_end(server: Doomed, scene: Scene) -> None:
    """An end that is on disk stays, though nobody had been told (failure case 1)."""
    job = scene.submit(attempts=5)
    scene.follow(job)
    server.choose(Phase.ENDED, scene.mark)
    scene.call(job.release)
    scene.die_and_rise(Phase.ENDED)
    assert scene.ended()[job.job_id] == [*STARTED, "SUCCEEDED"]
    assert scene.runs(job) == [1]


def test_a_watch_that_resumes_hears_at_once_that_the_server_is_back(server: Doomed) -> None:
    """Its first message is a heartbeat, long before one is due: a quiet job's watcher loses no
    patience over server after server.
    """
    with server.client() as client, grpc.insecure_channel(server.target) as channel:
        job = client.submit("test.noop", hold=True)
        request = job_service_pb2.WatchJobRequest(job_id=job.job_id, after_revision=1)
        watch = job_service_pb2_grpc.JobServiceStub(channel).WatchJob(request, timeout=10)
        assert next(watch).update.heartbeat.revision == 1
        watch.cancel()
        assert job.stop().outcome == "STOPPED"


def test_unfinished(server: Doomed) -> None:
    """After all these kills the file holds no job that has not ended, and none that was made twice."""
    with server.client() as client:
        jobs = list(client.list())
        assert all(job.final for job in jobs)
        marks = [job.spec.description for job in jobs if job.spec.description]
        assert len(marks) == len(set(marks))
