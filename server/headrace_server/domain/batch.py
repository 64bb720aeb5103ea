"""A batch: many jobs that one call submits, all of them or none.

Its jobs have ids that follow from its own, so a repeated call is told the same ids, in their order,
without a list of them being kept:

    batch   019c1f5e-6a3b-7d42-9c11-5f0e6b7a0000
    jobs    019c1f5e-6a3b-7d42-9c11-5f0e6b7a0001, …0002, …0003
"""

from typing import Final

BATCH_JOBS_MAX: Final = 10_000
"""The most jobs of a batch; its ids have room for 65,535."""

_DIGITS: Final = 4


def batch_id(new_id: str) -> str:
    """Return the id of a batch, made of a new id that ends in at least four hexadecimal digits."""
    return f"{new_id[:-_DIGITS]}{0:0{_DIGITS}x}"


def job_ids(batch_id: str, count: int) -> list[str]:
    """Return the ids of the jobs of a batch, which ascend in the order of its jobs."""
    begin = batch_id[:-_DIGITS]
    return [f"{begin}{number:04x}" for number in range(1, count + 1)]
