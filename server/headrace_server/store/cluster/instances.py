"""The rows of `instance`: who serves this database.

join ──> LIVE ── beat, beat, beat ──> leave: the row goes
└── its beat stood still: mark_dead ──> DEAD, for good; the row goes after a day
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from sqlalchemy import (
    Connection,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    select,
    update,
)

from headrace_server.domain.lease import Beat
from headrace_server.domain.ports.cluster import Instance
from headrace_server.store.tables.decoder import mapping_of
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import HELD, batch, instance, job, writer
from headrace_server.store.tables.statement import Bulk, Query, insert_into

SECOND: Final = 1_000_000
DAY: Final = 24 * 3600 * SECOND
"""For how long the row of a dead instance is kept, in microseconds.

It counts from the time at which its death was noticed. The clocks of two instances are compared:
nothing else depends on it.
"""


class State(IntEnum):
    """Of an instance's row.

    One in a state that this version does not know is none of the dead: it may run jobs.
    """

    LIVE = 1
    DEAD = 2


LIVE: Final = instance.c.state == literal_column(str(int(State.LIVE)))
"""A condition: of an instance that lives."""
DEAD: Final = instance.c.state == literal_column(str(int(State.DEAD)))
_insert = insert_into(instance)
_own_writers = Bulk(
    update(writer).where(writer.c.writer == bindparam("number")).values(instance=bindparam("me")),
    ("me", "number"),
)
_beat = (
    update(instance)
    .where(instance.c.instance == bindparam("me"), LIVE)
    .values(beat=instance.c.beat + 1, about=bindparam("now_about"))
)
_touch = (
    update(instance).where(instance.c.instance == bindparam("me")).values(start_time=instance.c.start_time)
)
_mark_dead = Bulk(
    update(instance)
    .where(instance.c.instance == bindparam("who"), instance.c.beat == bindparam("seen"), LIVE)
    .values(end_time=bindparam("now"), state=literal_column(str(int(State.DEAD)))),
    ("now", "who", "seen"),
)
_died_unnoted = update(instance).where(DEAD, instance.c.end_time == literal_column("0"))
_writers_of_dead = Query(
    select(writer.c.writer)
    .join(instance, instance.c.instance == writer.c.instance)
    .where(writer.c.instance == bindparam("name"), DEAD)
)
_free = instance.alias("free")
# Who is stopped in the middle of a beat has its row locked: nobody may wait for it, least of all a
# heartbeat.
_doubt = Bulk(
    update(instance)
    .where(
        instance.c.instance.in_(
            select(_free.c.instance)
            .where(_free.c.instance == bindparam("who"))
            .with_for_update(key_share=True, skip_locked=True)
        ),
        instance.c.beat == bindparam("seen"),
        LIVE,
    )
    .values(still_beat=instance.c.beat, still=bindparam("length")),
    ("length", "who", "seen"),
)
_still = case((instance.c.still_beat == instance.c.beat, instance.c.still), else_=literal_column("0"))
_beats = Query(select(instance.c.instance, instance.c.beat, _still).where(LIVE))
_all = Query(
    select(instance.c.instance, instance.c.state, instance.c.start_time, instance.c.about).order_by(
        instance.c.start_time, instance.c.instance
    )
)
_running = Query(select(job.c.instance, func.count()).where(HELD).group_by(job.c.instance))
_prove = Query(
    select(instance.c.instance)
    .where(instance.c.instance == bindparam("me"), LIVE)
    .with_for_update(read=True, key_share=True)
)
_left_behind = Query(
    select(job.c.job_id, job.c.instance)
    .where(
        HELD,
        job.c.job_id > bindparam("after"),
        ~exists().where(instance.c.instance == job.c.instance, ~DEAD),
    )
    .order_by(job.c.job_id)
    .limit(bindparam("limit"))
)


def join(connection: Connection, me: Instance, numbers: Iterable[int], now: int, *, alone: bool) -> None:
    """A new life. alone: there can be no other, so whatever is there has died."""
    if alone:
        connection.execute(delete(instance))
    else:
        _clear_up(connection, now)
    about = dumps(me.about)
    _insert(connection, [(me.instance, int(State.LIVE), 1, me.start_time, about, 0, 0, 0)])
    _own_writers(connection, [(me.instance, number) for number in numbers])


def _clear_up(connection: Connection, now: int) -> None:
    """Delete the rows of instances that died over a day ago.

    What they needed to write is deleted with them. A version that does not know `end_time` has left
    it 0: such a death counts from now.
    """
    old = now - DAY
    connection.execute(_died_unnoted.values(end_time=now))
    connection.execute(delete(instance).where(DEAD, instance.c.end_time < old))
    gone = ~exists().where(instance.c.instance == writer.c.instance)
    connection.execute(delete(writer).where(writer.c.start_time < old, gone))
    connection.execute(delete(batch).where(~exists().where(writer.c.writer == batch.c.writer)))


def beat(connection: Connection, me: str, about: Mapping[str, Any]) -> bool:
    """I am alive; False when it was said that I am not."""
    return bool(connection.execute(_beat, {"me": me, "now_about": dumps(about)}).rowcount)


def touch(connection: Connection, me: str) -> None:
    """Write what is there already: whether the database takes a write is seen by writing."""
    connection.execute(_touch, {"me": me})


def beats(connection: Connection) -> dict[str, Beat]:
    """Return the beat of each live instance, and how long it was seen to stand still."""
    return {name: Beat(number, still / SECOND) for name, number, still in _beats(connection)}


def doubt(connection: Connection, doubts: Mapping[str, Beat]) -> None:
    """These have stood still for so long, unless their beat is another by now."""
    _doubt(connection, [(int(beat.still * SECOND), who, beat.number) for who, beat in doubts.items()])


def mark_dead(connection: Connection, dead: Mapping[str, int], now: int) -> None:
    """These are dead, as is known now, unless their beat is another by now."""
    _mark_dead(connection, [(now, who, seen) for who, seen in sorted(dead.items())])


def writers_of_dead(connection: Connection, dead: Iterable[str]) -> list[int]:
    """The numbers of the writers of these, as far as they are dead."""
    return [number for name in dead for (number,) in _writers_of_dead(connection, name=name)]


def leave(connection: Connection, me: str) -> None:
    """The end of a life that leaves nothing behind."""
    connection.execute(delete(instance).where(instance.c.instance == me))


def proved(connection: Connection, me: str) -> bool:
    """Whether I am alive, until the end of this transaction as far as a row can say so."""
    return bool(_prove(connection, me=me))


def left_behind(connection: Connection, after: str, limit: int) -> Sequence[tuple[str, str]]:
    """The next jobs that are held by who is not alive: job and holder."""
    return [(job_id, holder) for job_id, holder in _left_behind(connection, after=after, limit=limit)]


def everyone(connection: Connection, *, held: bool) -> list[Instance]:
    """Every instance that lives, or has died lately. held: with the number of its runs."""
    running: dict[str, int] = dict(_running(connection)) if held else {}
    return [
        Instance(
            name,
            start_time,
            mapping_of(about, whose=name, what="what an instance tells"),
            live=state == State.LIVE,
            held=running.get(name, 0),
        )
        for name, state, start_time, about in _all(connection)
    ]
