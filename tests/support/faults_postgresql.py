"""Faults of PostgreSQL, planted under SQLAlchemy in connections and cursors of the driver's own
class.

As support.faults does it for SQLite: a point is whatever the driver is asked. A connection that is
to be lost is really lost: its backend is ended by another connection, and waited for.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from sqlalchemy import Engine, event

Act = Callable[[], Any]
Fault = Callable[["psycopg.Connection[Any]", Act], Any]

ENGINES = ("headrace writes", "headrace claims")
"""Whose statements are points: those of reads are not."""


def lost(connection: "psycopg.Connection[Any]", act: Act) -> Any:
    """The backend is gone before the statement."""
    end(connection)
    return act()


def answer_lost(connection: "psycopg.Connection[Any]", act: Act) -> Any:
    """The statement is carried out, and the backend gone before anybody hears of it."""
    act()
    end(connection)
    raise errors.AdminShutdown("terminating connection due to administrator command")


def deadlock(connection: "psycopg.Connection[Any]", _act: Act) -> Any:
    """The server has chosen this transaction to end a deadlock."""
    connection.execute("ROLLBACK")
    raise errors.DeadlockDetected("deadlock detected")


def cancelled(_connection: "psycopg.Connection[Any]", _act: Act) -> Any:
    """The statement took too long."""
    raise errors.QueryCanceled("canceling statement due to statement timeout")


def end(connection: "psycopg.Connection[Any]") -> None:
    """End the backend of a connection."""
    info = connection.info
    place = f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"
    with psycopg.connect(place, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (info.backend_pid,))
        there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        while other.execute(there, (info.backend_pid,)).fetchone():
            time.sleep(0.001)


class Faults:
    """What goes wrong, and where: see support.faults."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.struck = ""
        self._at = 0
        self._fault: Fault | None = None

    def arm(self, at: int = 0, fault: Fault | None = None) -> None:
        """Count from here; at the point number `at` (1 is the next) let the fault happen, once."""
        self.passed = []
        self.struck = ""
        self._at, self._fault = at, fault

    def reach(self, what: str, connection: "psycopg.Connection[Any]", act: Act) -> Any:
        """A point."""
        if connection.info.get_parameters().get("application_name") not in ENGINES:
            return act()
        # What SQLAlchemy asks of a new connection, and whether an old one is alive; and a count
        # that is made now and then.
        if not what[0].isupper() or "each_tenant" in what:
            return act()
        self.passed.append(" ".join(what.split()[:3]))
        if len(self.passed) == self._at and self._fault is not None:
            self.struck = self.passed[-1]
            return self._fault(connection, act)
        return act()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have every engine's next connections be ours."""

        def connect(_dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> Any:
            kind: Any = type("Connection", (_Connection,), {"faults": self})
            return kind.connect(*arguments, **options, cursor_factory=_Cursor)

        event.listen(Engine, "do_connect", connect)
        try:
            yield
        finally:
            event.remove(Engine, "do_connect", connect)


class _Connection(psycopg.Connection[Any]):
    """A connection of which each point is known."""

    faults: Faults

    def commit(self) -> None:
        if self.pgconn.transaction_status:
            self.faults.reach("COMMIT", self, super().commit)
        else:
            super().commit()


class _Cursor(psycopg.Cursor[Any]):
    """Its cursor."""

    def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        act = super().execute
        connection: Any = self.connection
        return connection.faults.reach(str(query), connection, lambda: act(query, params, **how))

    def executemany(self, query: Any, params_seq: Any, **how: Any) -> Any:
        act = super().executemany
        connection: Any = self.connection
        kept = list(params_seq)
        return connection.faults.reach(str(query), connection, lambda: act(query, kept, **how))
