"""A field of a spec goes through the codec and into a row by the one table."""

from dataclasses import fields, replace
from typing import Any

from headrace.v1 import job_pb2
from headrace_server.codec import spec_fields
from headrace_server.domain import requests
from headrace_server.domain.spec import SPEC_FIELDS, RetryPolicy, Spec, values_of
from headrace_server.store.tables import rows

OWN: dict[str, Any] = {
    "labels": {"k": "v"},
    "run_after": 5_000_000,
    "expire_time": 6_000_000,
    "timeout": 7_000_000,
    "retry": RetryPolicy(3, 1_000, 1.5, 2_000),
    "traceparent": "00-1-2-03",
}
EVERY = Spec(
    **{
        field.name: OWN.get(field.name, f"a {field.name}" if field.type is str else 5)
        for field in fields(Spec)
    }
)
"""A spec without a field that is at its default."""


def test_every_field_of_the_contract_is_one_of_the_record() -> None:
    """JobSpec has the fields of Spec and its parameters; what is called otherwise stands in the
    table.
    """
    named = {spec_fields.TURNED[name].field if name in spec_fields.TURNED else name for name in SPEC_FIELDS}
    assert named - spec_fields.BESIDE == set(job_pb2.JobSpec.DESCRIPTOR.fields_by_name) - {"parameters"}


def test_every_field_comes_back_from_the_contract() -> None:
    """A spec that is written as a message and read again is the same, and none of its fields is at
    its default.
    """
    assert not [name for name, value in values_of(EVERY).items() if value == getattr(Spec("t"), name)]
    given = spec_fields.read_spec(spec_fields.spec_message(EVERY), EVERY.traceparent)
    assert (given.spec, given.parameters, given.has_retry) == (EVERY, {}, True)
    nothing = spec_fields.read_spec(job_pb2.JobSpec(type="t"), "")
    assert (nothing.spec, nothing.has_retry) == (Spec("t"), False)


def test_every_field_is_copied_into_a_job_and_its_row() -> None:
    """A new job has the fields of its spec, and so has the job that is read from its row."""
    job = requests.create("j", "tenant", EVERY, 1, hold=True).job
    assert values_of(job) == values_of(EVERY)
    again = rows.job_of(rows.row_maker(rows.JOB_FIELDS)(job))
    assert again == job
    assert replace(again, owner="") != job
