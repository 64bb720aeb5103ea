"""Statements that go to the driver as they are, their values by place.

SQLAlchemy writes every statement, once; executing it through SQLAlchemy each time costs several times what SQLite
itself needs for a single row, on an idle machine more still. So what every job passes through is compiled when it is
first used, and the driver's own cursor takes text and values. Errors are then the driver's own: dialect.trouble.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Delete,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    insert,
)

Row = tuple[Any, ...]


class Bulk:
    """An INSERT, UPDATE or DELETE whose parameters are `names`, in their order."""

    def __init__(self, statement: Insert | Update | Delete, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._statement = statement
        self._text = ""

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute it once for each row."""
        if rows:
            connection.connection.cursor().executemany(self._text or self._compile(connection), rows)

    def _compile(self, connection: Connection) -> str:
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=list(self.names))
        if tuple(compiled.positiontup or ()) != self.names:
            raise AssertionError(f"{compiled} does not take {self.names} in this order")
        self._text = compiled.string
        return self._text


class Query:
    """A SELECT. Its values are the driver's own: what needs turning is turned by who asks."""

    def __init__(self, statement: Select[Any] | CompoundSelect[Any]) -> None:
        self._statement = statement
        self._text = ""
        self._names: Sequence[str] = ()
        self._fixed: Mapping[str, Any] = {}

    def __call__(self, connection: Connection, **values: Any) -> Sequence[Row]:
        """Every row for these values of its parameters."""
        if not self._text:
            self._compile(connection)
        cursor = connection.connection.cursor()
        given = {**self._fixed, **values}
        cursor.execute(self._text, [given[name] for name in self._names])
        return cursor.fetchall()

    def _compile(self, connection: Connection) -> None:
        compiled = self._statement.compile(dialect=connection.dialect)
        self._names = compiled.positiontup or ()
        self._fixed = compiled.params
        self._text = compiled.string


def insert_into(table: Table) -> Bulk:
    """INSERT of whole rows, columns in the table's order."""
    return Bulk(insert(table), table.columns.keys())


def delete_by(table: Table, names: Iterable[str]) -> Bulk:
    """DELETE of the rows with these values in these columns."""
    names = tuple(names)
    return Bulk(delete(table).where(*(table.c[name] == bindparam(name) for name in names)), names)
