"""Each of several for itself: a defect at one keeps none of the others waiting."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def singly(items: Iterable[T], act: Callable[[T], object], *, log: logging.Logger, failed: str) -> None:
    """Apply `act` to each item, logging each item at which it fails.

    The log entry has the item's job_id where there is one.
    """
    for item in items:
        try:
            act(item)
        except Exception:
            job = getattr(item, "job", item)
            log.exception(failed, extra={"job_id": getattr(job, "job_id", None)})
