"""What is sent: options, filters, changes; and what is refused before it is sent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from client.scripted import ScriptedServer, event, job

from headrace import Client, RetryPolicy, errors, info
from headrace.v1 import job_service_pb2 as pb

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND, THIRD = "2", "3"
"""Page tokens."""

Sent = Callable[..., Any]


@pytest.fixture
def sent(client: Client, server: ScriptedServer) -> Sent:
    """Makes one call and gives its request."""
    server.on("SubmitJob", pb.SubmitJobResponse(job=job("QUEUED")))
    server.on("UpdateJob", pb.UpdateJobResponse(job=job()))
    server.on("ListJobs", pb.ListJobsResponse())
    server.on("CountJobs", pb.CountJobsResponse())
    server.on("StopJob", pb.StopJobResponse(outcome="STOP_OUTCOME_STOPPING", job=job()))

    def sent(verb: str, *args: Any, **options: Any) -> Any:
        result = getattr(client, verb)(*args, **options)
        if verb == "list":
            list(result)
        (requests,) = filter(None, server.requests.values())
        return requests[-1]

    return sent


def test_every_option_of_a_submit_is_sent(sent: Sent) -> None:
    """Each lands in its field of the spec."""
    request = sent(
        "submit",
        "demo",
        {"at": NOON, "list": [1, None]},
        description="d",
        owner="o",
        session_id="s",
        queue="q",
        priority=-3,
        labels={"k": "v"},
        run_after=NOON,
        expire_time=NOON + timedelta(hours=1),
        attempt_timeout=2.5,
        retry_policy=RetryPolicy(max_attempts=4, multiplier=3),
        hold=True,
        request_id="r",
    )
    spec = request.spec
    assert (request.hold, request.request_id, spec.type) == (True, "r", "demo")
    assert (spec.description, spec.owner, spec.session_id, spec.queue) == ("d", "o", "s", "q")
    assert (spec.priority, dict(spec.labels)) == (-3, {"k": "v"})
    assert spec.run_after.ToDatetime(UTC) == NOON
    assert spec.expire_time.ToDatetime(UTC) == NOON + timedelta(hours=1)
    assert spec.attempt_timeout.ToMilliseconds() == 2500
    assert (spec.retry_policy.max_attempts, spec.retry_policy.multiplier) == (4, 3)
    assert spec.parameters["at"].timestamp_value.ToDatetime(UTC) == NOON
    assert [value.WhichOneof("kind") for value in spec.parameters["list"].list_value.values] == [
        "int_value",
        "null_value",
    ]


def test_what_is_left_out_is_not_sent(sent: Sent) -> None:
    """The server's and the type's defaults hold; None says the same as leaving out."""
    spec = sent("submit", "demo", owner=None, attempt_timeout=None, retry_policy=None, priority=None).spec
    assert [field.name for field, _ in spec.ListFields()] == ["type"]


def test_a_timedelta_counts_from_now(sent: Sent) -> None:
    """run_after and expire_time may be given as a length of time."""
    spec = sent("submit", "demo", run_after=timedelta(hours=1), expire_time=timedelta(hours=2)).spec
    now = datetime.now(UTC)
    assert abs(spec.run_after.ToDatetime(UTC) - now - timedelta(hours=1)) < timedelta(minutes=1)
    assert abs(spec.expire_time.ToDatetime(UTC) - now - timedelta(hours=2)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"run_after": datetime(2026, 1, 1)}, "run_after"),  # noqa: DTZ001 - naive on purpose
        ({"expire_time": timedelta.max}, "expire_time"),
        ({"attempt_timeout": -1}, "attempt_timeout"),
        ({"attempt_timeout": float("nan")}, "attempt_timeout"),
        ({"priority": 2**40}, "priority"),
    ],
)
def test_what_the_contract_cannot_carry_is_refused_by_name(
    client: Client, options: dict[str, Any], field: str
) -> None:
    """InvalidArgument names the argument, and nothing is sent."""
    with pytest.raises(errors.InvalidArgument) as raised:
        client.submit("demo", **options)
    assert [violation.field for violation in raised.value.fields] == [field]
    assert raised.value.code == ""


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (2**64, "parameters[x]"),
        (object(), "parameters[x]"),
        ([1, {"a": float("inf")}], "parameters[x][1][a]"),
        (datetime(2026, 1, 1), "parameters[x]"),  # noqa: DTZ001 - naive on purpose
    ],
)
def test_parameters_that_no_value_holds_are_refused_by_path(client: Client, value: Any, field: str) -> None:
    """The path says where it lies."""
    with pytest.raises(errors.InvalidArgument) as raised:
        client.submit("demo", {"x": value})
    assert raised.value.fields[0].field == field


@pytest.mark.parametrize("verb", ["submit", "run", "count", "update"])
def test_a_misspelt_keyword_is_a_type_error(client: Client, verb: str) -> None:
    """As it is where a signature lists its arguments."""
    with pytest.raises(TypeError, match="onwer"):
        getattr(client, verb)(*([] if verb == "count" else ["x"]), onwer="me")


def test_every_filter_is_sent(sent: Sent) -> None:
    """Each lands in its field; a single entry may stand alone."""
    request = sent(
        "list",
        tenant="-",
        statuses=[info.JobStatus.QUEUED, "RUNNING"],
        types="demo",
        owners=["a", "b"],
        queues="q",
        session_ids="s",
        job_ids="j",
        batch_ids="b",
        labels={"k": "v"},
        create_time_from=NOON,
        create_time_to=NOON,
        status_time_from=NOON,
        status_time_to=NOON,
        parameters={"n": 1},
        parameter_prefix={"file": "s3:"},
        order_by=info.JobOrder.PRIORITY_DESC,
        page_size=7,
        view="FULL",
    )
    assert (request.tenant, request.page_size, request.order_by, request.view) == ("-", 7, 5, 2)
    sent_filter = request.filter
    assert list(sent_filter.statuses) == [2, 4]
    assert (list(sent_filter.types), list(sent_filter.owners)) == (["demo"], ["a", "b"])
    assert [condition.name for condition in sent_filter.parameters] == ["n", "file"]
    assert sent_filter.parameters[0].equals.int_value == 1
    assert sent_filter.parameters[1].prefix == "s3:"
    assert len(sent_filter.ListFields()) == len(sent_filter.DESCRIPTOR.fields)


@pytest.mark.parametrize("status", ["running", "UNKNOWN", "DONE"])
def test_a_word_that_there_is_not_is_refused_with_those_there_are(client: Client, status: str) -> None:
    """UNKNOWN is what is read, never what is asked for."""
    with pytest.raises(errors.InvalidArgument, match="PENDING, QUEUED"):
        client.count(statuses=status)


def test_an_update_changes_what_is_given_and_nothing_else(sent: Sent) -> None:
    """The mask names the given fields; None clears a time."""
    request = sent("update", "j1", etag="e", description="", run_after=None, locked=True)
    assert list(request.update_mask.paths) == ["description", "locked", "run_after"]
    assert (request.etag, request.patch.locked) == ("e", True)
    assert not request.patch.HasField("run_after")


def test_a_stop_says_now_and_leaves_the_rest_to_the_server(sent: Sent) -> None:
    """A grace period of 0 is sent, and one left out is not."""
    request = sent("stop", "j1", "why", grace_period=0, requested_by="me")
    assert request.HasField("grace_period")
    assert not request.HasField("wait_timeout")
    assert (request.reason, request.requested_by) == ("why", "me")


def test_a_list_reads_page_after_page(client: Client, server: ScriptedServer) -> None:
    """Pages are asked for as they are needed, empty ones included, until there is no token."""
    server.on(
        "ListJobs",
        pb.ListJobsResponse(jobs=[job(job_id="a"), job(job_id="b")], next_page_token=SECOND),
        pb.ListJobsResponse(next_page_token=THIRD),
        pb.ListJobsResponse(jobs=[job(job_id="c")]),
    )
    found = client.list(owners="me")
    assert next(found).job_id == "a"
    assert len(server.requests["ListJobs"]) == 1
    assert [job.job_id for job in found] == ["b", "c"]
    requests = server.requests["ListJobs"]
    assert [request.page_token for request in requests] == ["", "2", "3"]
    assert all(list(request.filter.owners) == ["me"] for request in requests)


def test_one_page_of_a_list(client: Client, server: ScriptedServer) -> None:
    """list_page gives the token of the next."""
    server.on("ListJobs", pb.ListJobsResponse(jobs=[job(job_id="a")], next_page_token=THIRD))
    page = client.list_page(page_token=SECOND)
    assert ([job.job_id for job in page], len(page), page.next_page_token) == (["a"], 1, THIRD)
    assert server.requests["ListJobs"][0].page_token == SECOND


def test_a_history_reads_page_after_page(client: Client, server: ScriptedServer) -> None:
    """As a list does."""
    server.on(
        "ListJobEvents",
        pb.ListJobEventsResponse(events=[event(4).event], next_page_token=SECOND),
        pb.ListJobEventsResponse(events=[event(5).event]),
    )
    assert [event.revision for event in client.events("j1", after_revision=3)] == [4, 5]
    first, second = server.requests["ListJobEvents"]
    assert (first.after_revision, second.after_revision, second.page_token) == (3, 3, "2")


@pytest.mark.parametrize("status", ["RUNNING", "JOB_STATUS_RUNNING"])
def test_counts_name_statuses_as_python_does(client: Client, server: ScriptedServer, status: str) -> None:
    """RUNNING, whatever the server's spelling."""
    server.on(
        "CountJobs",
        pb.CountJobsResponse(groups=[{"keys": [status, "me"], "count": 5}], total=5, at_least=True),
    )
    counts = client.count(group_by=[info.CountGroup.STATUS, "OWNER"])
    assert counts == info.Counts((info.Count(("RUNNING", "me"), 5),), 5, at_least=True)
    assert list(server.requests["CountJobs"][0].group_by) == [1, 4]
