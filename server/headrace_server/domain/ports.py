"""What the use cases and the dispatcher need from the rooms beside them. app.py plugs the real ones in.

Everything here is called on the event loop's thread, and every callback comes on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headrace_server.domain.change import Change
from headrace_server.domain.event import Event
from headrace_server.domain.gate import Gate, QueueStats, Scope
from headrace_server.domain.job import Job, JobError, RetryPolicy, Spec
from headrace_server.domain.query import Counts, Filter, FullJob, Group, Order
from headrace_server.domain.retention import Retention

Decision = Callable[[Job, int], Change]
"""A function of domain.requests, expiry or running with its arguments bound: (the job as it stands, now) -> Change."""

Cursor = tuple[int, str]
"""Where a page ended: the sort key's value and the job id of its last job."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be created. request_id is "" for none; digest is the canonical hash of the spec as sent."""

    job_id: str
    tenant: str
    spec: Spec
    hold: bool
    request_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job as it stands; existing when an earlier call with this request_id made it."""

    job: FullJob
    existing: bool


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """A place for one run. permit: a child can begin it at once, so claim and start permit share a transaction."""

    worker: str
    permit: bool


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Slots to fill with ready jobs of `types`: tenants in turn; within a tenant priority, then age.

    queues: of these only; empty means all. without_limits: leave out what is counted by a limit, since it would count
    while it waits behind another.
    """

    instance: str
    slots: Sequence[FreeSlot]
    types: frozenset[str]
    queues: frozenset[str] = frozenset()
    without_limits: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job taken for a slot. It is RUNNING with a permit, TO_BE_RUN without, FAILED when it expired just then."""

    job: Job
    parameters: str
    slot: FreeSlot


@dataclass(frozen=True, slots=True)
class Instance:
    """One life of one that serves the database. about: what it tells of itself, plain values by name. held: its runs."""

    instance: str
    start_time: int
    about: Mapping[str, Any]
    live: bool = True
    held: int = 0


class Membership(Protocol):
    """That this instance is one of those that serve the database, and is alive."""

    @property
    def instance(self) -> str:
        """The id of its present life."""
        ...

    def valid(self) -> bool:
        """Whether a run may be begun now; false once others may have taken its runs over."""
        ...

    def fence(self) -> float | None:
        """When, by CLOCK_BOOTTIME, nothing may be left of its runs; None where nobody takes any over."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A question for one page of jobs. tenant None means all. after continues behind a cursor."""

    tenant: str | None
    filter: Filter
    order: Order
    limit: int
    after: Cursor | None
    payload: bool


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What one step of a sweep has done.

    turn: to be given with the next step. mine: False when another instance has swept since, and nothing was done.
    jobs: how many were deleted. more: there are more to be deleted now.
    """

    turn: int
    mine: bool
    jobs: int = 0
    more: bool = False


class CommitListener:
    """Who wants to know of commits: one of `Store.listeners`. What it does not override, it does not hear.

    Called on the event loop's thread. An error of one is logged, and keeps the others from nothing.
    """

    def committed(self, changes: Sequence[Change]) -> None:
        """This store has committed these: one Change for each job with all its events, before any caller is answered.

        Deletion is no change.
        """

    def overheard(self, events: Sequence[Event]) -> None:
        """Other stores of the database have committed these: events of each job in their order, each once.

        They come a little later, and some may be missing after trouble: `Store.newer` finds those.
        """

    def opened(self) -> None:
        """More may be claimed though no job here has changed: a gate was changed, was busy, or has room again."""


class LifeListener:
    """Who is told, on the event loop's thread, what becomes of the life that `Store.join` has begun."""

    def about(self) -> Mapping[str, Any]:
        """What is told of this instance with each beat. From any thread."""
        return {}

    def lost(self) -> None:
        """This instance is not alive any more: `join` again, with another id."""

    def others_died(self) -> None:
        """Others may have left runs behind: `recover`."""


class Store(Protocol):
    """The durable truth. An answer to a write means: on disk.

    Writes go through one writer thread that commits what is waiting in one transaction. After COMMIT, and
    before any caller of that batch is answered, the listeners are told of the changes.
    Any method raises StoreUnavailable when the database cannot be reached.
    """

    listeners: list[CommitListener]

    async def submit(self, submission: Submission) -> Submitted:
        """Create the job, or find the one of this request_id. Raises RequestIdReused, QueueFull."""
        ...

    async def apply(self, job_id: str, decide: Decision, *, tenant: str | None = None) -> Change:
        """Change one job. tenant None skips the check that it is the caller's. Raises JobNotFound, and what decide raises."""
        ...

    async def delete(self, job_id: str, *, tenant: str) -> None:
        """Delete a job with its payload and history, if domain.requests.check_delete lets it. Raises JobNotFound."""
        ...

    async def purge(self, job_ids: Sequence[str], *, tenant: str) -> int:
        """Delete those of these jobs that have ended and are not locked, in one transaction; answer how many."""
        ...

    async def sweep(self, retention: Retention, turn: int | None) -> SweepResult:
        """Delete some of the jobs whose retention is over, and request_ids that need not be remembered any longer.

        turn is that of the last answer, None at first. Nothing is done when another instance has swept since.
        """
        ...

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Fill slots with ready jobs; fewer when there are fewer."""
        ...

    async def change_gate(self, gate: Gate, fields: Mapping[str, Any]) -> Gate:
        """Change fields of the gate of this scope and name; answer it as it is now.

        What is claimed after this was answered, by any instance, is claimed under the new values.
        """
        ...

    async def find_gates(self, *, after: str, limit: int) -> Sequence[Gate]:
        """The gates of which anything was said behind a key, by scope and name."""
        ...

    async def traffic(self, scope: Scope, *, after: str, limit: int) -> Sequence[QueueStats]:
        """What the queues, or the tenants, behind a name are doing, by name."""
        ...

    async def run_timers(self) -> int | None:
        """Promote and expire the jobs whose time has come; answer the time of the next timer, if there is one."""
        ...

    async def ping(self, seconds: float) -> None:
        """Return when calls would be answered now; seconds: how long a database that says nothing is waited for."""
        ...

    @property
    def instance(self) -> str:
        """The id of the life that `join` has begun."""
        ...

    async def join(self, me: Instance, *, lease: float | None, life: LifeListener) -> None:
        """Begin a life among those that serve the database; the one before it is over. lease: seconds, None alone."""
        ...

    async def recover(self, error: JobError, *, confirmed: bool) -> int:
        """Apply domain.running.recover to every job that an instance holds which is not alive; answer how many."""
        ...

    async def newer(self, known: Mapping[str, int]) -> tuple[list[Job], list[str]]:
        """Of the jobs whose revision is known: those that have another by now, or show progress; and those that are gone."""
        ...

    async def instances(self, *, held: bool = True) -> list[Instance]:
        """Those that serve the database, and those that have died lately, oldest first. held: count their runs too."""
        ...

    async def get(self, job_id: str, *, tenant: str, payload: bool) -> FullJob:
        """One job. Raises JobNotFound."""
        ...

    async def find(self, page: Page) -> list[FullJob]:
        """The jobs of one page."""
        ...

    async def count(self, tenant: str | None, which: Filter, groups: Sequence[Group]) -> Counts:
        """Counts of the jobs that match."""
        ...

    async def events(self, job_id: str, *, after: int, limit: int) -> list[Event]:
        """Events of a job after a revision, oldest first; empty for an unknown job."""
        ...


@dataclass(frozen=True, slots=True)
class TypeDefaults:
    """What a type says for jobs that do not: timeout is a length of time or None."""

    retry: RetryPolicy
    timeout: int | None


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A registered type, or what failed to load (type is "" then and load_error says why): a module, or a worker's part.

    A type with a load_error is one that no worker has loaded.
    """

    type: str
    module: str
    description: str = ""
    parameters_schema: str = ""
    result_schema: str = ""
    defaults: TypeDefaults = TypeDefaults(RetryPolicy(), None)
    load_error: str = ""
    needs_workspace: bool = False
    fresh: bool = False


class JobTypes(Protocol):
    """The registered types of job."""

    @property
    def names(self) -> frozenset[str]:
        """The types that can be submitted."""
        ...

    @property
    def served(self) -> frozenset[str]:
        """Those of them that some worker of this instance has loaded, as far as is known."""
        ...

    def defaults(self, type_name: str) -> TypeDefaults:
        """What a type says for jobs that do not. Raises UnknownType."""
        ...

    async def check(
        self, type_name: str, parameters: Mapping[str, Any], *, whole: bool = True
    ) -> dict[str, Any]:
        """Plain parameters as the type's signature understands them. Raises UnknownType, InvalidParameter.

        It waits where classes of the job's own are asked, which the server does not load: then it may also raise
        LoaderUnavailable. whole=False: these are some of
        the parameters, as a filter names them, and none is missing.
        """
        ...

    def infos(self) -> Sequence[TypeInfo]:
        """Every type by name, then the modules that failed to load."""
        ...
