"""A database on a disk that is full, read-only or locked: real servers, a real small disk, a real
lock.
"""

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from headrace import Client, JobHandle
from headrace.errors import Unavailable
from headrace.info import Snapshot
from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from headrace_server.testing import ServerEnded
from support import faults_rows
from support.checker import check_job, check_runs
from support.disk import SmallDisk, small_disk
from support.figures import figure, guard
from support.refusals import refusal
from support.server import Server, until

pytestmark = pytest.mark.slow

FULL = "The database cannot be written now: database or disk is full."
LOCKED = "The database cannot be written now: database is locked."
BUSY_SECONDS = 5.0
EXIT_UNAVAILABLE = 6
LONG = "x" * 1000
REFUSALS = 3
"""So many in turn mean that there is no room: one alone may have been of a larger batch."""
DESCRIPTION = FieldMask(paths=["description"])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 8 MiB."""
    with small_disk(tmp_path / "disk", 8 * 1024) as disk:
        yield disk


def server_on(disk: SmallDisk, folder: Path) -> Server:
    """A server that keeps its database on the disk, and everything else beside it."""
    return Server(
        folder, "support.jobs,support.chaos_jobs", database_url=f"sqlite:///{disk.place}/headrace.db"
    )


class Bare:
    """Calls that are made once: what the server says, it says to the test."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target, options=[("grpc.enable_retries", 0)])
        self.stub = job_service_pb2_grpc.JobServiceStub(self.channel)

    def submit(self, request_id: str, description: str = "", *, timeout: float = 60) -> str:
        """Submit a held job; answer its id."""
        spec = job_pb2.JobSpec(type="test.noop", description=description)
        request = job_service_pb2.SubmitJobRequest(spec=spec, hold=True, request_id=request_id)
        return self.stub.SubmitJob(request, timeout=timeout).job.job_id

    def refused(self, call: Callable[[], object]) -> str:
        """The sentence of a call that was answered with STORE_UNAVAILABLE, and when to come back."""
        with pytest.raises(grpc.RpcError) as error:
            call()
        found = refusal(error.value)
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert found.retry_ms > 0
        return found.message


def wal_of(disk: SmallDisk) -> int:
    """The size of the write-ahead log."""
    return (disk.place / "headrace.db-wal").stat().st_size


def test_a_full_disk(disk: SmallDisk, tmp_path: Path) -> None:
    """On a full disk writes are refused by name and leave nothing, reads go on, a run that ends is
    neither lost nor doubled; with room all goes on without a restart (failure case 9).
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    with server_on(disk, tmp_path) as server, server.client(timeout=20) as client:
        pid = server.process.pid
        run = client.submit("chaos.work", {"log": str(log), "gate": str(gate)})
        until(log.exists, "the job has begun")
        bare = Bare(server.target)
        disk.take(5 << 20)
        answered = fill_by_submits(bare)
        disk.fill()
        # What a large one that failed has got of the log is used by smaller ones.
        small = fill_by_submits(bare, "")
        refused = [uuid.uuid4().hex for _ in range(figure(20, 500))]
        for request_id in refused:
            assert bare.refused(lambda name=request_id: bare.submit(name)) == FULL
        fill_by_updates(bare, next(iter(answered.values())))
        full = wal_of(disk)
        assert bare.refused(lambda: bare.submit("refused")) == FULL
        with server.client(timeout=5) as patient, pytest.raises(Unavailable, match="disk is full"):
            patient.submit("test.noop", hold=True)  # repeated until its time is over, and then told why
        reads_go_on(client, run, answered | small)
        assert wal_of(disk) == full, "what was refused has grown the log"
        gate.touch()
        until(lambda: f"end {run.job_id} 1" in log.read_text(), "the job's code has ended")
        until(lambda: server.logged("cannot write, trying again"), "its end could not be written")
        assert run.refresh().status == "RUNNING"
        disk.make_room()
        began = time.monotonic()
        assert run.wait(guard(5)).status == "SUCCEEDED"
        print(
            f"{len(answered)} submits filled the disk; {time.monotonic() - began:.2f} s after there was room"
        )
        made = {request_id: bare.submit(request_id) for request_id in refused}
        assert len({*made.values()} & {*answered.values()}) == 0
        assert {request_id: bare.submit(request_id) for request_id in refused} == made
        assert {name: bare.submit(name, LONG) for name in answered} == answered
        assert {name: bare.submit(name) for name in small} == small
        assert client.count(statuses=["PENDING"]).total == len(answered) + len(small) + len(refused)
        history = check_job(client, run.job_id)[1]
        check_runs(log.read_text().splitlines(), {run.job_id: history})
        until(lambda: wal_of(disk) == 0, "the log is written back when the server is idle")
        assert server.process.pid == pid
        assert server.process.poll() is None
    faults_rows.check(disk.place / "headrace.db")


def fill_by_submits(bare: Bare, description: str = LONG) -> dict[str, str]:
    """Submit until there is no room: request_id -> job, of those that were answered."""
    answered = {}
    refused = 0
    while refused < REFUSALS:
        request_id = uuid.uuid4().hex
        try:
            answered[request_id] = bare.submit(request_id, description)
            refused = 0
        except grpc.RpcError as error:
            expect_full(error)
            refused += 1
    return answered


def expect_full(error: grpc.RpcError) -> None:
    """This is how a full disk is told of."""
    assert refusal(error).message == FULL


def fill_by_updates(bare: Bare, job_id: str) -> None:
    """Change a job until there is no room for that either: what a batch that failed has got of the
    log is used by smaller ones.
    """
    refused = 0
    for number in range(10_000):
        patch = job_service_pb2.JobPatch(description=f"changed {number}")
        request = job_service_pb2.UpdateJobRequest(job_id=job_id, patch=patch, update_mask=DESCRIPTION)
        try:
            bare.stub.UpdateJob(request, timeout=60)
            refused = 0
        except grpc.RpcError as error:
            expect_full(error)
            refused += 1
            if refused == REFUSALS:
                return
    raise AssertionError("the disk is never full")


def reads_go_on(client: Client, run: JobHandle, answered: dict[str, str]) -> None:
    """Everything that only reads is answered, and shows what was answered before and nothing else."""
    assert run.refresh().status == "RUNNING"
    assert {job.job_id for job in client.list(statuses=["PENDING"])} == {*answered.values()}
    assert client.count(statuses=["PENDING"]).total == len(answered)
    assert [event.revision for event in run.events()][:3] == [1, 2, 3]
    with closing(run.watch()) as updates:
        assert isinstance(next(updates), Snapshot)


def ended_with(server: Server) -> tuple[int, str]:
    """Exit code and last line of a server that does not start."""
    before = len(server.log)
    with pytest.raises(ServerEnded):
        server.start()
    said = [str(entry["event"]) for entry in server.log[before:]]
    assert not [line for line in said if "Traceback" in line], said
    return server.process.returncode, said[-1]


def test_an_end_on_a_full_disk(disk: SmallDisk, tmp_path: Path) -> None:
    """SIGTERM ends a server that cannot store how its runs ended: it waits a while, says so, and
    the next start counts them as lost (failure case 9, 29).
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    with server_on(disk, tmp_path) as server, server.client(timeout=20) as client:
        run = client.submit("chaos.work", {"log": str(log), "gate": str(gate)})
        until(log.exists, "the job has begun")
        bare = Bare(server.target)
        disk.take(5 << 20)
        answered = fill_by_submits(bare)
        disk.fill()
        fill_by_updates(bare, next(iter(answered.values())))
        gate.touch()
        until(lambda: server.logged("cannot write, trying again"), "its end could not be written")
        assert server.stop() == 0
        assert server.logged("the ends of 1 runs could not be stored")
        disk.make_room()
        server.start()
        ended = run.wait(guard(5))
        assert ended.error is not None
        assert (ended.status, ended.error.kind) == ("FAILED", "INSTANCE_LOST")
        assert client.count(statuses=["PENDING"]).total == len(answered)
    faults_rows.check(disk.place / "headrace.db")


def test_a_start_on_a_full_disk(disk: SmallDisk, tmp_path: Path) -> None:
    """A server that finds no room for its database ends with one sentence and exit code 6, and
    starts when there is room (failure case 9).
    """
    server = server_on(disk, tmp_path)
    database = disk.place / "headrace.db"
    disk.fill()
    new = f"headrace: The database {database} cannot be opened: No space left on device."
    assert ended_with(server) == (EXIT_UNAVAILABLE, new)
    disk.make_room()
    with server, server.client() as client:
        job = client.submit("test.noop", hold=True)
        server.stop()
        disk.fill()
        code, said = ended_with(server)
        assert (code, said.startswith(f"headrace: The database {database} cannot be ")) == (
            EXIT_UNAVAILABLE,
            True,
        )
        disk.make_room()
        server.start()
        assert job.refresh().status == "PENDING"


def test_a_start_on_a_read_only_disk(disk: SmallDisk, tmp_path: Path) -> None:
    """A database that cannot be written is refused at the start in one sentence that says so."""
    server = server_on(disk, tmp_path)
    with server:
        server.stop()
        disk.remount("ro")
        said = f"headrace: The database {disk.place}/headrace.db cannot be opened: Read-only file system."
        assert ended_with(server) == (EXIT_UNAVAILABLE, said)
        disk.remount("rw")
        server.start()


def test_a_start_on_a_damaged_database(tmp_path: Path) -> None:
    """A database file that is none is refused at the start in one sentence that names it, and is
    left as it was.
    """
    contents = b"This is a letter. " * 1000
    (tmp_path / "headrace.db").write_bytes(contents)
    server = Server(tmp_path)
    code, said = ended_with(server)
    assert code == EXIT_UNAVAILABLE
    assert said == f"headrace: The database {tmp_path}/headrace.db cannot be used: file is not a database."
    assert (tmp_path / "headrace.db").read_bytes() == contents


def test_a_locked_database(tmp_path: Path) -> None:
    """A write lock held by another process is waited for; held for longer than 5 s it is
    STORE_UNAVAILABLE, and no job is claimed twice (failure case 10).
    """
    log = tmp_path / "log"
    log.touch()
    with Server(tmp_path, "support.chaos_jobs,support.jobs") as server, server.client() as client:
        bare = Bare(server.target)
        jobs = [client.submit("chaos.work", {"log": str(log)}, hold=True) for _ in range(6)]
        with closing(sqlite3.connect(tmp_path / "headrace.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waits = Call(lambda: bare.submit("waits"))
            assert not waits.done.wait(0.5), "it did not wait"
            assert client.get(jobs[0].job_id).status == "PENDING", "a read waits for no lock"
            other.execute("ROLLBACK")
            waits.answer()
            for job in jobs:
                job.release()
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            assert bare.refused(lambda: bare.submit("too long")) == LOCKED
            waited = time.monotonic() - began
            assert BUSY_SECONDS * 0.9 <= waited <= guard(3 * BUSY_SECONDS)
            print(f"refused after {waited:.1f} s")
            other.execute("ROLLBACK")
        for job in jobs:
            assert job.wait(30).status == "SUCCEEDED"
        made = bare.submit("too long")
        assert bare.submit("too long") == made
        histories = {job.job_id: check_job(client, job.job_id)[1] for job in jobs}
        check_runs(log.read_text().splitlines(), histories)
    faults_rows.check(tmp_path / "headrace.db")


def test_a_submit_that_ran_out_of_time(tmp_path: Path) -> None:
    """A submit whose deadline passed while the database was locked is one job all the same:
    repeated it is that one, with another body ALREADY_EXISTS (failure case 22).
    """
    with Server(tmp_path, "support.jobs") as server, server.client() as client:
        bare = Bare(server.target)
        with closing(sqlite3.connect(tmp_path / "headrace.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(grpc.RpcError) as late:
                bare.submit("late", timeout=0.3)
            assert isinstance(late.value, grpc.Call)
            assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert client.count().total == 0
            other.execute("ROLLBACK")
        made = bare.submit("late")
        assert [job.job_id for job in client.list()] == [made]
        assert bare.submit("late") == made
        with pytest.raises(grpc.RpcError) as reused:
            bare.submit("late", "another body")
        assert isinstance(reused.value, grpc.Call)
        assert reused.value.code() is grpc.StatusCode.ALREADY_EXISTS
        assert client.count().total == 1


class Call:
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.done = threading.Event()
        self._answers: list[object] = []
        self.thread = threading.Thread(target=self._make, args=(call,))
        self.thread.start()

    def _make(self, call: Callable[[], object]) -> None:
        try:
            self._answers.append(call())
        finally:
            self.done.set()

    def answer(self) -> object:
        """What it was answered."""
        self.thread.join(60)
        assert self._answers, "the call failed"
        return self._answers[0]
