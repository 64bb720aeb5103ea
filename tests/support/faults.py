"""Faults of the database, planted under SQLAlchemy in connections of the driver's own class.

    faults = Faults()
    with faults.planted():
        store = SqlStore.open(url)          # each of its connections is counted
    faults.arm(7, DISK_FULL)                # the seventh statement from now on fails, once

A point is whatever the driver is asked: an execute, an executemany, a COMMIT, a ROLLBACK of a
transaction that is open; pragmas are none. The product is not changed, and does not know.
"""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from sqlalchemy import Engine, event

Act = Callable[[], Any]
Fault = Callable[[sqlite3.Connection, Act], Any]
"""What happens at a point: it is given the connection, and what was to be done there."""


def fails(error: Exception) -> Fault:
    """The statement is not carried out."""

    def fault(_connection: sqlite3.Connection, _act: Act) -> Any:
        raise _anew(error)

    return fault


def taken_back(error: Exception) -> Fault:
    """The statement fails, and SQLite has rolled the transaction back by itself, as it does after
    some errors.
    """

    def fault(connection: sqlite3.Connection, _act: Act) -> Any:
        sqlite3.Connection.rollback(connection)
        raise _anew(error)

    return fault


def done_and_failed(error: Exception) -> Fault:
    """The statement is carried out (of many rows the first), and fails all the same."""

    def fault(_connection: sqlite3.Connection, act: Act) -> Any:
        act()
        raise _anew(error)

    return fault


def dies(_connection: sqlite3.Connection, _act: Act) -> Any:
    """The process is killed before the statement."""
    os.kill(os.getpid(), signal.SIGKILL)


def does_and_dies(_connection: sqlite3.Connection, act: Act) -> Any:
    """The process is killed after the statement, before anybody hears of it."""
    act()
    os.kill(os.getpid(), signal.SIGKILL)


def _anew(error: Exception) -> Exception:
    """The error without where it was raised before: a traceback keeps the connection that it went
    through.
    """
    return type(error)(*error.args)


class Faults:
    """What goes wrong, and where."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        """What was asked since `arm`, oldest first: the first words of each statement."""
        self.struck = ""
        """The point at which the fault happened; "" while it has not."""
        self._at = 0
        self._fault: Fault | None = None

    def arm(self, at: int = 0, fault: Fault | None = None) -> None:
        """Count from here; at the point number `at` (1 is the next) let the fault happen, once."""
        self.passed = []
        self.struck = ""
        self._at, self._fault = at, fault

    def reach(self, what: str, connection: sqlite3.Connection, act: Act, part: Act | None = None) -> Any:
        """A point; part is what a fault may do of it."""
        if what.startswith("PRAGMA"):  # A connection is made, or the log written back: at no certain time.
            return act()
        self.passed.append(" ".join(what.split()[:3]))
        if len(self.passed) == self._at and self._fault is not None:
            self.struck = self.passed[-1]
            return self._fault(connection, part or act)
        return act()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have every engine's next connections be ours."""

        def connect(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
            options["factory"] = lambda *given, **named: _Connection(*given, faults=self, **named)

        event.listen(Engine, "do_connect", connect)
        try:
            yield
        finally:
            event.remove(Engine, "do_connect", connect)


class _Connection(sqlite3.Connection):
    """A connection of which each point is known."""

    def __init__(self, *given: Any, faults: Faults, **named: Any) -> None:
        super().__init__(*given, **named)
        self.faults = faults

    def cursor(self, _factory: Any = None) -> "_Cursor":
        return super().cursor(_Cursor)

    def commit(self) -> None:
        # By hand: the driver's own commit() does nothing outside a transaction, as SQLAlchemy asks
        # at times.
        if self.in_transaction:
            self.faults.reach("COMMIT", self, super().commit)

    def rollback(self) -> None:
        if self.in_transaction:
            self.faults.reach("ROLLBACK", self, super().rollback)


class _Cursor(sqlite3.Cursor):
    """Its cursor."""

    connection: _Connection

    def execute(self, text: str, values: Any = ()) -> "_Cursor":
        act = super().execute
        self.connection.faults.reach(text, self.connection, lambda: act(text, values))
        return self

    def executemany(self, text: str, rows: Any) -> "_Cursor":
        act = super().executemany
        kept: Sequence[Any] = list(rows)
        self.connection.faults.reach(
            text,
            self.connection,
            lambda: act(text, kept),
            lambda: act(text, list(islice(kept, 1))),
        )
        return self


IO_ERROR = sqlite3.OperationalError("disk I/O error")
DISK_FULL = sqlite3.OperationalError("database or disk is full")
LOCKED = sqlite3.OperationalError("database is locked")
MALFORMED = sqlite3.DatabaseError("database disk image is malformed")

TROUBLE: dict[str, Fault] = {
    "disk I/O error": fails(IO_ERROR),
    "database or disk is full": fails(DISK_FULL),
    "database is locked": fails(LOCKED),
    "database disk image is malformed": fails(MALFORMED),
    "full, and taken back by SQLite": taken_back(DISK_FULL),
}
"""What a database says when it is in trouble, at any point."""
