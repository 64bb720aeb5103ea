"""Events: the rows of the log.

WatchJob, ListJobEvents and every other view show these events, with these revisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from headrace_server.domain.hot import hot
from headrace_server.domain.job import Status


class EventKind(IntEnum):
    """The kind of an event: what happened, and which keys the event's body has."""

    CREATED = 1
    """body: {}"""
    STATUS_CHANGED = 2
    """body: from, to (numbers of Status); error (dict of JobError, when there is one)"""
    MESSAGE_LOGGED = 3
    """body: level, source (numbers of the contract's enums), text"""
    RESULT_SET = 4
    """body: name"""
    STOP_CHANGED = 5
    """body: phase (number of StopPhase)"""
    UPDATED = 6
    """body: paths"""
    MESSAGES_DROPPED = 7
    """body: count"""


MESSAGE_KINDS = frozenset({EventKind.MESSAGE_LOGGED, EventKind.MESSAGES_DROPPED})
"""The event kinds that a watch shows only on request."""


@hot
@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a job's history.

    Revisions are 1, 2, 3 … without a gap. `status` is the job's status after the event.
    """

    job_id: str
    tenant: str
    type: str
    revision: int
    at: int
    attempt: int
    status: Status
    kind: EventKind
    body: Mapping[str, Any]
