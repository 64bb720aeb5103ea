"""Which events a consumer wants: as keys to bind its queue with, and as a question about one event.

A message's routing key is `job.<status>.<tenant>.<type>`, always four words: what could be taken
for a dot, a wildcard or anything but a letter, a digit, `_` or `-` is written as %XX for each byte
of its UTF-8.

A queue is bound by tenant and type, which every event of a job has in common: the broker gives it
all events of a job or none. The status is looked at here. Were it in the key, each change that the
queue did not ask for would look like a gap; and where no other queue wants such a change either, a
server would keep it, and the job's later events behind it, until one does (its setting
events_unroutable).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Self, TypeVar

from headrace.errors import InvalidArgument
from headrace.info import EventKind, JobEvent, JobStatus
from headrace.routing import key_word

DEFAULT_KINDS = (EventKind.CREATED, EventKind.STATUS_CHANGED)
"""The kinds of event that a server broadcasts by default."""

W = TypeVar("W", bound=StrEnum)


def binding_keys(*, tenants: Iterable[str] = (), types: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the keys that bind a queue to the exchange for the events of these jobs.

    These are all events of the jobs of the given tenants and types.

    What is left empty is not looked at: binding_keys() is ("job.*.*.*",), everything.
    """
    return Selection.of((), tenants, types).keys()


@dataclass(frozen=True, slots=True)
class Selection:
    """The events that a consumer is shown. Empty means any."""

    statuses: tuple[JobStatus, ...] = ()
    tenants: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    kinds: tuple[EventKind, ...] = DEFAULT_KINDS

    @classmethod
    def of(
        cls,
        statuses: Iterable[JobStatus | str],
        tenants: Iterable[str],
        types: Iterable[str],
        kinds: Iterable[EventKind | str] = DEFAULT_KINDS,
    ) -> Self:
        """From what a caller gave."""
        return cls(
            tuple(_words(JobStatus, "statuses", statuses)),
            tuple(_names("tenants", tenants)),
            tuple(_names("types", types)),
            tuple(_words(EventKind, "kinds", kinds)),
        )

    def keys(self) -> tuple[str, ...]:
        """The keys that bind a queue for the jobs that can have such events."""
        tenants, types = ([key_word(name) for name in names] or ["*"] for names in (self.tenants, self.types))
        return tuple(f"job.*.{tenant}.{kind}" for tenant, kind in product(tenants, types))

    def has(self, event: JobEvent) -> bool:
        """Whether an event is one of them."""
        return (
            event.kind in self.kinds
            and (not self.statuses or event.status in self.statuses)
            and (not self.tenants or event.tenant in self.tenants)
            and (not self.types or event.type in self.types)
        )


def _words(words: type[W], field: str, given: Iterable[W | str]) -> Iterator[W]:
    for word in _listed(field, given):
        if word not in words.__members__ or word == "UNKNOWN":
            known = ", ".join(name for name in words.__members__ if name != "UNKNOWN")
            raise InvalidArgument.of(field, f"{word!r} is none of {known}.")
        yield words(word)


def _names(field: str, given: Iterable[str]) -> Iterator[str]:
    for name in _listed(field, given):
        if not name:
            raise InvalidArgument.of(field, "A name is empty; leave all out for any.")
        yield name


def _listed(field: str, given: Iterable[W | str]) -> Iterable[W | str]:
    if isinstance(given, str):
        raise InvalidArgument.of(field, f"It is a list, not the text {given!r}.")
    return given
