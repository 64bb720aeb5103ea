"""Lists, counts, history and changes."""

from datetime import UTC, date, datetime, timedelta

import grpc
import pytest

from headrace import Client, JobStatus
from headrace.errors import (
    EtagMismatch,
    InvalidArgument,
    InvalidPageToken,
    JobLocked,
    JobNotFound,
    WrongStatus,
)
from headrace.info import JobOrder
from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from support.server import Server


def ids(client: Client, **filters: object) -> list[str]:
    """The jobs that match, in order."""
    return [job.job_id for job in client.list(**filters)]  # type: ignore[arg-type]


def test_filters(client: Client) -> None:
    """Jobs are found by type, owner, status, labels, dates and tenant (acceptance 37)."""
    began = datetime.now(UTC)
    a = client.submit("test.noop", owner="ada", labels={"k": "1"}, hold=True).job_id
    b = client.submit("test.echo", owner="bob", labels={"k": "2", "l": "x%"}, queue="q2", hold=True).job_id
    assert ids(client, types=["test.noop"]) == [a]
    assert ids(client, types=["test.*"]) == [b, a]
    assert ids(client, types=["test.n_op*"]) == []
    assert ids(client, owners=["bob", "eve"]) == [b]
    assert ids(client, statuses=["PENDING"]) == [b, a]
    assert ids(client, statuses=["RUNNING", "FAILED"]) == []
    assert ids(client, labels={"k": "2", "l": "x%"}) == [b]
    assert ids(client, queues=["q2"]) == [b]
    assert ids(client, job_ids=[a, "other"]) == [a]
    assert ids(client, create_time_from=began, create_time_to=datetime.now(UTC)) == [b, a]
    assert ids(client, create_time_to=began) == []
    assert ids(client, owners=["ada"], types=["test.echo"]) == []


def test_search_by_parameter(client: Client) -> None:
    """Jobs of a type are found by a parameter's value or beginning (acceptance 38)."""
    a = client.submit("test.echo", {"file": "a.png", "n": 1}, hold=True).job_id
    b = client.submit("test.echo", {"file": "b.png", "n": 1.0}, hold=True).job_id
    only = {"types": ["test.echo"]}
    assert ids(client, **only, parameters={"file": "a.png"}) == [a]
    assert ids(client, **only, parameters={"n": 1}) == [a]
    assert ids(client, **only, parameters={"n": 1.0}) == [b]
    assert ids(client, **only, parameter_prefix={"file": "b."}) == [b]
    assert ids(client, **only, parameters={"n": "1"}) == []
    with pytest.raises(InvalidArgument):
        ids(client, parameters={"n": 1})


def test_a_filter_means_what_a_submit_does(client: Client) -> None:
    """A job is found by what it was submitted with, by what that was made of, and by its defaults
    (acceptance 38).
    """
    given = {"count": "32", "span": 5, "when": "2026-11-22", "names": ("a", "b")}
    job = client.submit("test.typed", given, hold=True).job_id
    client.submit("test.typed", {"count": 33, "ratio": 1, "names": ["a"]}, hold=True)
    for name, values in {
        "count": ("32", 32, 32.0),
        "span": (5, 5.0, "PT5S", timedelta(seconds=5)),
        "when": ("2026-11-22", date(2026, 11, 22)),
        "names": (["a", "b"], ("a", "b")),
        "ratio": (0.5, "0.5"),
    }.items():
        for value in values:
            found = ids(client, types=["test.typed"], parameters={name: value})
            assert found == [job], (name, value)
            assert client.count(types=["test.typed"], parameters={name: value}).total == 1
    assert ids(client, types=["test.typed"], parameters={"at": None, "count": 32}) == [job]
    assert client.stop_jobs(types=["test.typed"], parameters={"count": "32"}).stopped == 1
    for parameters in ({"count": "many"}, {"cuont": 32}):
        with pytest.raises(InvalidArgument) as refused:
            ids(client, types=["test.typed"], parameters=parameters)
        assert [field for field, _ in refused.value.fields] == ["filter.parameters[0]"]
    assert ids(client, types=["test.gone"], parameters={"count": "32"}) == []


def test_orders(client: Client) -> None:
    """Lists are ordered by creation, change of status or priority, both ways (acceptance 37, 40)."""
    jobs = [client.submit("test.noop", priority=p, owner="o", hold=True).job_id for p in (1, 9, 5)]
    assert ids(client) == jobs[::-1]
    assert ids(client, order_by=JobOrder.CREATE_TIME_ASC) == jobs
    top = ids(client, owners=["o"], statuses=["PENDING"], order_by=JobOrder.PRIORITY_DESC)
    assert top == [jobs[1], jobs[2], jobs[0]]
    client.stop(jobs[0])
    assert ids(client, order_by=JobOrder.STATUS_TIME_DESC)[0] == jobs[0]


def test_pages(client: Client) -> None:
    """Pages by key lose and repeat nothing while jobs come, and a token belongs to its query
    (acceptance 37, failure case 26).
    """
    jobs = [client.submit("test.noop", hold=True).job_id for _ in range(7)]
    first = client.list_page(page_size=3)
    client.submit("test.noop", hold=True)
    second = client.list_page(page_size=3, page_token=first.next_page_token)
    third = client.list_page(page_size=3, page_token=second.next_page_token)
    found = [job.job_id for page in (first, second, third) for job in page]
    assert found == jobs[::-1]
    assert third.next_page_token == ""
    for tenant, owners in (("other", ()), (None, ("ada",))):
        with pytest.raises(InvalidPageToken):
            client.list_page(page_token=first.next_page_token, tenant=tenant, owners=owners)
    for token in ("nonsense", "e30=", "W10=", first.next_page_token[:-4]):
        with pytest.raises(InvalidPageToken):
            client.list_page(page_token=token)
    with pytest.raises(InvalidArgument):
        client.list_page(page_size=-1)


def test_full_lists_of_large_jobs(client: Client) -> None:
    """A page of full jobs ends early rather than grow over what a message can hold (failure case
    24).
    """
    jobs = {client.submit("test.echo", {"x": b"y" * 600_000}, hold=True).job_id for _ in range(5)}
    page = client.list_page(view="FULL", page_size=100)
    assert 0 < len(page) < 5
    assert {job.job_id for job in client.list(view="FULL")} == jobs


def test_counts(client: Client) -> None:
    """Jobs are counted by status, type and owner, together and apart (acceptance 39)."""
    for owner in ("ada", "ada", "bob"):
        client.submit("test.noop", owner=owner, hold=True)
    client.submit("test.echo", owner="bob", hold=True).stop()
    assert client.count().total == 4
    by_owner = client.count(group_by=["OWNER"]).groups
    assert {(group.keys, group.count) for group in by_owner} == {(("ada",), 2), (("bob",), 2)}
    both = client.count(group_by=["STATUS", "TYPE"]).groups
    assert {(group.keys, group.count) for group in both} == {
        (("PENDING", "test.noop"), 3),
        (("ABORTED", "test.echo"), 1),
    }
    assert client.count(owners=["ada"]).total == 2


def test_counts_name_a_status_as_the_contract_does(server: Server, client: Client) -> None:
    """On the wire a key of CountJobs is a name of JobStatus; an owner that is not there is empty."""
    job = client.submit("test.noop", hold=True)
    groups = [job_service_pb2.COUNT_GROUP_OWNER, job_service_pb2.COUNT_GROUP_STATUS]
    which = job_pb2.JobFilter(job_ids=[job.job_id])
    request = job_service_pb2.CountJobsRequest(tenant=job.tenant, filter=which, group_by=groups)
    with grpc.insecure_channel(server.target) as channel:
        answer = job_service_pb2_grpc.JobServiceStub(channel).CountJobs(request)
    assert [list(group.keys) for group in answer.groups] == [["", "JOB_STATUS_PENDING"]]


@pytest.mark.parametrize("tenant", ["t" * 100, "Bücher & 本 / 1", " ", "--", "*", "😀" * 100])
def test_a_tenant_is_any_text(client: Client, tenant: str) -> None:
    """1 to 100 characters of any kind, as JobService says."""
    job = client.submit("test.noop", tenant=tenant, hold=True)
    assert client.get(job.job_id, tenant=tenant).tenant == tenant
    assert [found.job_id for found in client.list(tenant=tenant)] == [job.job_id]


@pytest.mark.parametrize("tenant", ["t" * 101, "a\0b", "-"])
def test_what_is_no_tenant(client: Client, tenant: str) -> None:
    """101 characters, one with NUL, and the sign for all of them."""
    with pytest.raises(InvalidArgument) as refused:
        client.submit("test.noop", tenant=tenant, hold=True)
    assert [violation.field for violation in refused.value.fields] == ["tenant"]


def test_all_tenants(client: Client) -> None:
    """Tenant - lists and counts over tenants, and is refused elsewhere (acceptance 51)."""
    job = client.submit("test.noop", owner="across", hold=True)
    assert [found.job_id for found in client.list(tenant="-", job_ids=[job.job_id])] == [job.job_id]
    assert client.count(tenant="-", job_ids=[job.job_id], group_by="TENANT").total == 1
    with pytest.raises(InvalidArgument):
        client.get(job.job_id, tenant="-")


def test_update(client: Client) -> None:
    """Priority, description, labels and dates can be changed, with an etag that guards (acceptance
    49, 50).
    """
    job = client.submit("test.noop", hold=True)
    before = job.refresh()
    after = job.update(priority=7, description="new", labels={"a": "b"}, etag=before.etag)
    assert (after.spec.priority, after.spec.description, after.spec.labels) == (7, "new", {"a": "b"})
    assert after.etag != before.etag
    with pytest.raises(EtagMismatch):
        job.update(priority=1, etag=before.etag)
    assert job.update(priority=7).revision == after.revision
    changed = [event for event in job.events() if event.kind == "UPDATED"]
    assert changed[0].detail.paths == ("description", "labels", "priority")


def test_update_of_run_after_releases(client: Client) -> None:
    """A job that waits for a far date runs at once when the date is taken away (acceptance 49)."""
    job = client.submit("test.noop", run_after=timedelta(hours=1))
    assert job.refresh().status == "QUEUED"
    job.update(run_after=None)
    assert job.wait(30).status == "SUCCEEDED"


def test_finished_jobs_are_closed(client: Client) -> None:
    """A finished job refuses a priority, and takes a description (acceptance 30)."""
    job = client.submit("test.noop")
    done = job.wait(30)
    with pytest.raises(WrongStatus):
        job.update(priority=3)
    assert job.release().status == "SUCCEEDED"  # it was released before
    after = job.update(description="kept")
    assert (after.status, after.end_time, after.spec.description) == ("SUCCEEDED", done.end_time, "kept")


def test_delete(client: Client) -> None:
    """A finished job can be deleted unless it is locked; a job that has not ended cannot."""
    job = client.submit("test.noop", hold=True)
    with pytest.raises(WrongStatus):
        job.delete()
    job.stop()
    job.update(locked=True)
    with pytest.raises(JobLocked):
        job.delete()
    job.update(locked=False)
    job.delete()
    with pytest.raises(JobNotFound):
        job.refresh()
    with pytest.raises(JobNotFound):
        job.delete()
    client.delete(job.job_id, allow_missing=True)


def test_history_in_pages(client: Client) -> None:
    """A history longer than a page is read to its end, in order."""
    job = client.submit("test.noop", hold=True)
    for number in range(120):
        job.update(priority=number)
    revisions = [event.revision for event in job.events()]
    assert revisions == list(range(1, len(revisions) + 1))
    assert len(revisions) > 100


def test_all_statuses_have_names(client: Client) -> None:
    """The seven statuses are those of the contract (acceptance 29)."""
    names = ["PENDING", "QUEUED", "TO_BE_RUN", "RUNNING", "SUCCEEDED", "FAILED", "ABORTED"]
    assert [status.name for status in JobStatus if status.name in names] == names
    job = client.submit("test.noop", hold=True)
    assert [job.refresh().status.name, job.stop().job.status.name] == ["PENDING", "ABORTED"]
