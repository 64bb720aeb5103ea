"""The outbox: events to be broadcast, from their COMMIT until the broker has confirmed them.

    transaction of the event     INSERT job_event, INSERT outbox ─ COMMIT
    who leads                    unsent ─> published ─> confirmed ─> settle: DELETE

It is rows and not a cursor into the log: a cursor would miss what is committed late. A row has all
of its event, so a job may be deleted while its events wait for a broker. Places rise with the
revisions of a job, since an event is inserted while the job's row is held: what can be seen of a
job is a beginning of what there is. Of each job on a page every row is read, so none is met with an
earlier one missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)

from headrace_server.domain.broadcast import Backlog, Broadcast, Unsent
from headrace_server.domain.change import Change
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Job
from headrace_server.store.sql.json_lists import among, each
from headrace_server.store.tables.payloads import read_parameters, read_results
from headrace_server.store.tables.rows import dumps, event_of
from headrace_server.store.tables.schema import OPEN, PARKED, job_event, outbox
from headrace_server.store.tables.statement import Bulk, Query, Row

COUNTED: Final = 100_000
"""To count further would cost more than it tells."""

_WRITTEN: Final = tuple(column.name for column in outbox.c if column.name != "place")
_insert = Bulk(insert(outbox), _WRITTEN)
# One statement for all of them: one for each would hold up what else is in the batch.
_delete = Bulk(delete(outbox).where(among(outbox.c.place, "places")), ("places",))
_park = Bulk(update(outbox).values(parked=true()).where(among(outbox.c.place, "places")), ("places",))


_ABOUT: Final = ("previous", "place", "parked", "traceparent", "payload")
_EVENT: Final = ("job_id", "tenant", "type", "revision", "at", "attempt", "status", "kind", "body")


@cache
def _page(limit: int, *, parked: bool) -> tuple[Query, Query]:
    """Return the query for the rows of a page, and the query for all rows of their jobs.

    The second is bounded so that one answer can carry its rows.

    The numbers stand in the text, since PostgreSQL must see that they are small to choose its plan.
    """
    rows = (
        select(outbox.c.place, outbox.c.job_id)
        .where(PARKED if parked else OPEN, outbox.c.place > bindparam("after"))
        .order_by(outbox.c.place)
        .limit(literal_column(str(limit)))
    )
    # By a list of jobs and not by a join: that PostgreSQL may turn round, and read all there is.
    of_jobs = (
        select(*(outbox.c[name] for name in (*_ABOUT, *_EVENT)))
        .where(among(outbox.c.job_id, "ids"))
        .order_by(outbox.c.place)
        .limit(literal_column(str(4 * limit)))
    )
    return Query(rows), Query(of_jobs)


def _count(which: TextClause) -> Query:
    some = select(outbox.c.place).where(which).limit(literal_column(str(COUNTED))).subquery()
    return Query(select(func.count()).select_from(some))


_counts = {False: _count(OPEN), True: _count(PARKED)}
_oldest = Query(select(outbox.c.at).order_by(outbox.c.place).limit(literal_column("1")))


class Announcer:
    """The writer of events of some kinds into the outbox.

    Parameters and results are put beside them up to so many bytes; 0 means never.
    """

    def __init__(self, kinds: Iterable[EventKind], payload_bytes: int) -> None:
        self._kinds = frozenset(kinds)
        self._payload_bytes = payload_bytes
        listed: list[ColumnElement[int]] = [literal_column(str(int(kind))) for kind in sorted(self._kinds)]
        entry = each("ids")
        before = (
            select(job_event.c.revision)
            .where(job_event.c.job_id == entry.c.value, job_event.c.kind.in_(listed))
            .order_by(job_event.c.revision.desc())
            .limit(literal_column("1"))
            .scalar_subquery()
        )
        self._last = Query(select(entry.c.value, before))

    def announce(
        self, connection: Connection, changes: Sequence[Change], stored: Mapping[str, Job | None]
    ) -> None:
        """Put out what these changes say.

        Before the log has it: what it has by now tells what was announced before. When parameters
        and results are written.
        """
        told = [[event for event in change.events if event.kind in self._kinds] for change in changes]
        known = {events[0].job_id for events in told if events and stored[events[0].job_id] is not None}
        found = self._last(connection, ids=dumps(sorted(known))) if known else ()
        last = {job_id: revision or 0 for job_id, revision in found}
        payloads = self._payloads(connection, chain.from_iterable(told))
        traces = {change.job.job_id: change.job.traceparent for change in changes}
        _insert(
            connection, [row for events in told if events for row in _rows(events, last, traces, payloads)]
        )

    def _payloads(self, connection: Connection, told: Iterable[Event]) -> Mapping[tuple[str, int], str]:
        """By job and revision."""
        if not self._payload_bytes:
            return {}
        created: dict[str, int] = {}
        ended: dict[str, int] = {}
        for event in told:
            if event.kind is EventKind.CREATED:
                created[event.job_id] = event.revision
            elif event.kind is EventKind.STATUS_CHANGED and event.status.final:
                ended[event.job_id] = event.revision
        payloads = {}
        for revisions, read in ((created, read_parameters), (ended, read_results)):
            texts = read(connection, [*revisions]) if revisions else {}
            for job_id, text in texts.items():
                if len(text.encode()) <= self._payload_bytes:
                    payloads[job_id, revisions[job_id]] = text
        return payloads


def _rows(
    events: Sequence[Event],
    last: Mapping[str, int],
    traces: Mapping[str, str],
    payloads: Mapping[tuple[str, int], str],
) -> Iterable[Row]:
    previous = last.get(events[0].job_id, 0)
    for event in events:
        yield (
            event.job_id,
            event.revision,
            previous,
            False,
            event.tenant,
            event.type,
            int(event.kind),
            event.at,
            event.attempt,
            int(event.status),
            dumps(event.body) if event.body else None,
            traces[event.job_id],
            payloads.get((event.job_id, event.revision)),
        )
        previous = event.revision


def unsent(connection: Connection, *, after: int, parked: bool, limit: int) -> Unsent:
    """See domain.ports.outbox.Outbox.unsent."""
    rows, of_jobs = _page(limit, parked=parked)
    page = rows(connection, after=after)
    if not page:
        return Unsent((), None)
    found = of_jobs(connection, ids=dumps(sorted({job_id for _, job_id in page})))
    broadcasts = [
        Broadcast(event_of(event), previous, place, bool(is_parked), trace, payload)
        for previous, place, is_parked, trace, payload, *event in found
    ]
    return Unsent(broadcasts, page[-1][0])


def settle(connection: Connection, sent: Sequence[int], parked: Sequence[int]) -> None:
    """See domain.ports.outbox.Outbox.settle."""
    for change, places in ((_delete, sent), (_park, parked)):
        if places:
            change(connection, [(dumps(sorted(places)),)])


def backlog(connection: Connection) -> Backlog:
    """See domain.ports.outbox.Outbox.backlog."""
    ((pending,),), ((parked,),) = (_counts[which](connection) for which in (False, True))
    oldest = _oldest(connection)
    return Backlog(pending, parked, COUNTED in (pending, parked), oldest[0][0] if oldest else None)
