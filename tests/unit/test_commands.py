"""Whatever comes as a command gets an answer, and nothing of it is an internal error unless it is
one.
"""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace_server.amqp.command_handler import PROTOBUF, STATUS, STOP, STOPPED, CommandHandler
from headrace_server.domain import requests
from headrace_server.domain.command import Verdict
from headrace_server.domain.errors import JobNotFound, StoreUnavailable
from headrace_server.domain.query import FullJob
from headrace_server.domain.requests import StopOutcome
from headrace_server.domain.spec import Spec

FIELDS = st.sampled_from(["tenant", "jobId", "reason", "gracePeriod", "waitTimeout", "requestedBy", "other"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just("1s"), st.lists(st.text())
)


class Stops:
    """The use case of a stop, which comes to what it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def stop(self, tenant: str, job_id: str, **_: object) -> tuple[StopOutcome, FullJob]:
        """Stop."""
        if self.error:
            raise self.error
        return StopOutcome.STOPPED, FullJob(requests.create(job_id, tenant, Spec("t"), 0, hold=True).job)


def apply(body: bytes, *, kind: str = STOP, content_type: str = "", error: Exception | None = None) -> Any:
    """What becomes of a command."""
    return asyncio.run(CommandHandler(Stops(error)).apply(kind, content_type, body))  # type: ignore[arg-type]


@given(
    st.binary() | st.dictionaries(FIELDS, VALUES).map(lambda plain: json.dumps(plain).encode()), st.booleans()
)
@example(b"[" * 100_000, False)
@example(b'{"reason": "\\ud800"}', False)
@example(b'{"gracePeriod": "1e999s"}', False)
@settings(max_examples=300)
def test_any_bytes_are_answered(body: bytes, protobuf: bool) -> None:
    """Bytes are a StopJob request, or are refused as none: in JSON and in protobuf (failure case
    25).
    """
    answer = apply(body, content_type=PROTOBUF if protobuf else "application/json")
    if answer.verdict is Verdict.DONE:
        assert answer.kind == STOPPED
    else:
        assert (answer.verdict, answer.kind) == (Verdict.INVALID, STATUS)
        assert json.loads(answer.body)["code"] == 3


@pytest.mark.parametrize(
    ("error", "verdict", "code"),
    [
        (JobNotFound("x"), Verdict.DONE, 5),
        (StoreUnavailable("away"), Verdict.RETRY, 14),
        (RuntimeError("a secret"), Verdict.DONE, 13),
    ],
    ids=["unknown job", "store away", "defect"],
)
def test_what_goes_wrong_is_an_answer(error: Exception, verdict: Verdict, code: int) -> None:
    """An unknown job is an answer, a store that is away leaves the command in its queue, and a
    defect tells an error id only.
    """
    answer = apply(b'{"jobId": "x"}', error=error)
    assert answer.verdict is verdict
    said = json.loads(answer.body)
    assert said["code"] == code
    assert "secret" not in answer.body.decode()
