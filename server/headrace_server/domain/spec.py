"""The spec of a job: all that a caller gives about it. `domain.job.Job` is a spec and a state.

A field of a spec is written here once. It follows from here: which column of `job` holds it (that
of its name), what is copied into a new job, whether an UPDATE names it, what is checked of a text,
what is read from the contract's JobSpec and shown in it, and what a child is told of its job (where
`headrace.jobs.RunInfo` has a field of its name).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final

from headrace_server.domain.bounds import DAY
from headrace_server.domain.hot import hot

BACKOFF_MAX: Final = 365 * DAY
"""Between two attempts."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The rules by which failed attempts are repeated.

    Waits grow from `initial_backoff` by `multiplier` up to `max_backoff`.
    """

    max_attempts: int = 1
    initial_backoff: int = 1_000_000
    multiplier: float = 2.0
    max_backoff: int = 300_000_000
    unknown: str = ""
    """Members of the stored record that only a later version knows, as they were written: see
    store.tables.decoder.
    """

    def backoff(self, attempt: int) -> int:
        """Return the wait after attempt number `attempt` (1 is the first), before jitter.

        The wait is from 0 to BACKOFF_MAX, whatever the policy says.

        A policy is checked where it is given; one that an earlier version has stored must not keep
        an end from being written.
        """
        most = min(max(0, self.max_backoff), BACKOFF_MAX)
        try:
            grown = self.initial_backoff * self.multiplier ** (attempt - 1)
        except OverflowError:
            return most
        return int(grown) if 0 <= grown < most else most


@hot
@dataclass(frozen=True, slots=True)
class Spec:
    """What a caller says about a job, except its parameters.

    The parameters are wide, and are stored beside the row.

    run_after, expire_time: times. timeout: the longest run of one attempt, None for any. A new
    field has a default: rows of the version before do not have it.
    """

    type: str
    description: str = ""
    owner: str = ""
    session_id: str = ""
    queue: str = "default"
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    run_after: int | None = None
    expire_time: int | None = None
    timeout: int | None = None
    retry: RetryPolicy = RetryPolicy()
    traceparent: str = ""


SPEC_FIELDS: Final = tuple(field.name for field in fields(Spec))
_values_of = attrgetter(*SPEC_FIELDS)


def values_of(spec: Spec) -> dict[str, Any]:
    """The fields of a spec by their names."""
    return dict(zip(SPEC_FIELDS, _values_of(spec), strict=True))


@dataclass(frozen=True, slots=True)
class GivenSpec:
    """A spec as it was sent, not checked yet; parameters are plain values.

    has_retry: it says how attempts are repeated. Where it does not, and where its timeout is None,
    the type says it.
    """

    spec: Spec
    parameters: Mapping[str, Any] = field(default_factory=dict)
    has_retry: bool = False
