"""Batches through the API: what is accepted, refused and remembered, from both clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace import Client
from headrace.aio import AsyncClient
from headrace.errors import InvalidArgument, InvalidParameter, PayloadTooLarge, RequestIdReused, UnknownType
from headrace.options import NewJob
from support.server import Server

COUNT = 450
"""More than two pieces that the server stores at a time."""


def echoes(count: int, first: int = 0) -> list[NewJob]:
    """So many jobs that return their number."""
    return [NewJob("test.echo", {"x": number}, labels={"n": str(number)}) for number in range(first, count)]


def test_a_batch_is_submitted_in_order(client: Client) -> None:
    """Handles come in the order of the jobs, ids ascend, and the jobs are found by the batch and run
    (acceptance 3).
    """
    batch = client.batch_submit(echoes(COUNT))
    assert not batch.existing
    job_ids = [job.job_id for job in batch.jobs]
    assert job_ids == sorted(set(job_ids))
    listed = list(client.list(batch_ids=batch.batch_id, order_by="CREATE_TIME_ASC", page_size=1000))
    assert [job.job_id for job in listed] == job_ids
    assert [job.spec.labels["n"] for job in listed] == [str(number) for number in range(COUNT)]
    assert {job.batch_id for job in listed} == {batch.batch_id}
    assert [batch.jobs[place].result(60)["x"] for place in (0, 200, COUNT - 1)] == [0, 200, COUNT - 1]
    assert client.submit("test.noop").refresh().batch_id == ""


def test_a_batch_is_stopped_by_its_id(client: Client) -> None:
    """What is done with all that match takes the batch as a filter."""
    batch = client.batch_submit(echoes(5), hold=True)
    other = client.submit("test.noop", hold=True)
    assert client.stop_jobs(batch_ids=batch.batch_id).stopped == 5
    assert client.count(batch_ids=[batch.batch_id], statuses="ABORTED").total == 5
    assert other.refresh().status == "PENDING"


def test_one_job_at_fault_refuses_all(client: Client) -> None:
    """Each field at fault is named by the place of its job, and nothing is stored (acceptance 3, 17)."""
    jobs = [*echoes(300), NewJob("test.echo", {"x": 1}, priority=2_000_000), NewJob("test.echo", {"x": 2})]
    jobs[17] = NewJob("test.echo", {"x": 1}, queue="q" * 300)
    with pytest.raises(InvalidArgument) as refused:
        client.batch_submit(jobs)
    assert [violation.field for violation in refused.value.fields] == ["jobs[17].queue", "jobs[300].priority"]
    with pytest.raises(InvalidParameter) as unfit:
        client.batch_submit([*echoes(3), NewJob("test.flaky", {"until": "x"})])
    assert [violation.field for violation in unfit.value.fields] == ["jobs[3].parameters[until]"]
    with pytest.raises(UnknownType, match=r"jobs\[1\]\.type"):
        client.batch_submit([*echoes(1), NewJob("nowhere.known")])
    assert client.count().total == 0


def test_a_repeated_batch_is_the_same(client: Client) -> None:
    """The same request_id with the same jobs gives the same ids; with others, or in another order,
    it is refused (acceptance 3, 6, failure case 22).
    """
    first = client.batch_submit(echoes(COUNT), request_id="r", hold=True)
    again = client.batch_submit(echoes(COUNT), request_id="r", hold=True)
    assert again.existing
    assert [job.job_id for job in again.jobs] == [job.job_id for job in first.jobs]
    for others in (echoes(COUNT - 1), echoes(COUNT)[::-1]):
        with pytest.raises(RequestIdReused) as refused:
            client.batch_submit(others, request_id="r", hold=True)
        assert refused.value.metadata["job_id"] == first.batch_id
    with pytest.raises(RequestIdReused):
        client.batch_submit(echoes(COUNT), request_id="r")
    with pytest.raises(RequestIdReused):
        client.submit("test.echo", {"x": 0}, request_id="r")
    assert client.count().total == COUNT


def test_a_batch_has_bounds(client: Client) -> None:
    """None is no batch, more than 10,000 are told to be several, and so are too many bytes."""
    with pytest.raises(InvalidArgument, match="at least one job"):
        client.batch_submit([])
    with pytest.raises(InvalidArgument, match="They are 10001; a batch has at most 10000: submit several"):
        client.batch_submit([NewJob("test.noop")] * 10_001)
    with pytest.raises(PayloadTooLarge):
        client.batch_submit([NewJob("test.echo", {"x": "x" * 900_000})] * 5)
    assert client.count().total == 0


def test_any_number_is_cut_into_batches(client: Client) -> None:
    """By count and by bytes; the handles are those of all jobs in their order, taken as needed."""
    batches: list[int] = []
    taken = 0

    def endless() -> Iterator[NewJob]:
        nonlocal taken
        for job in echoes(25):
            taken += 1
            yield job

    made = client.submit_many(
        endless(), hold=True, batch_size=10, on_batch=lambda job_ids: batches.append(len(job_ids))
    )
    assert (batches, taken) == ([10, 10, 5], 25)
    assert [client.get(job.job_id).spec.parameters["x"] for job in made] == list(range(25))
    large = client.submit_many([NewJob("test.echo", {"x": "x" * 900_000})] * 9, hold=True)
    assert len({client.get(job.job_id, view="BASIC").batch_id for job in large}) == 3
    assert client.submit_many([]) == []


def test_the_error_of_a_later_batch_counts_from_the_first_job(client: Client) -> None:
    """What is on disk by then stays, and a repetition with the request_id goes on behind it."""
    jobs = [*echoes(25), NewJob("test.echo", {"x": 1}, priority=2_000_000)]
    done: list[str] = []
    with pytest.raises(InvalidArgument, match=r"^jobs\[25\]\.priority: ") as refused:
        client.submit_many(jobs, hold=True, batch_size=10, request_id="r", on_batch=done.extend)
    assert [violation.field for violation in refused.value.fields] == ["jobs[25].priority"]
    assert len(done) == client.count().total == 20
    again = client.submit_many(jobs[:25], hold=True, batch_size=10, request_id="r")
    assert [job.job_id for job in again][:20] == done
    assert [job.existing for job in again] == [True] * 20 + [False] * 5
    with pytest.raises(InvalidArgument, match=r"^jobs\[1\]\.parameters\[x\]"):
        client.submit_many([NewJob("test.noop"), NewJob("test.echo", {"x": object()})])


async def test_the_client_for_asyncio_does_the_same(server: Server, client: Client) -> None:
    """Its handles are its own."""
    tenant = client._own_tenant
    async with AsyncClient(server.target, tenant=tenant) as waiting:
        batch = await waiting.batch_submit(echoes(3))
        assert [await job.result(60) for job in batch.jobs] == [{"x": 0}, {"x": 1}, {"x": 2}]
        many = await waiting.submit_many(echoes(7), batch_size=3)
        assert await many[-1].result(60) == {"x": 6}
    assert client.count().total == 10


def test_the_limit_of_waiting_jobs_counts_a_batch(tmp_path: Path) -> None:
    """One that does not fit is refused whole, in a sentence."""
    with Server(tmp_path, max_waiting_jobs=3) as running, running.client(timeout=0.5) as client:
        client.submit("test.noop", hold=True)
        with pytest.raises(
            Exception, match="1 jobs wait on this server already, at most 3 may, and these are 3"
        ):
            client.batch_submit(echoes(3), hold=True)
        assert client.count().total == 1
        client.batch_submit(echoes(2), hold=True)
