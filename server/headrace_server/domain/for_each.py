"""Each of several for itself: a defect at one keeps none of the others waiting."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def singly(items: Iterable[T], act: Callable[[T], object], *, log: logging.Logger, failed: str) -> None:
    """Do this with each. Of one at which it fails the log tells, with its job_id where it has one."""
    for item in items:
        try:
            act(item)
        except Exception:
            job = getattr(item, "job", item)
            log.exception(failed, extra={"job_id": getattr(job, "job_id", None)})
