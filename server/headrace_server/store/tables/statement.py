"""Statements that go to the driver as they are, their values by place.

SQLAlchemy writes every statement, once for each kind of database; executing it through SQLAlchemy
each time costs several times what SQLite itself needs for a single row, on an idle machine more
still. So what every job passes through is compiled when it is first used, and the driver's own
cursor takes text and values. Errors are then the driver's own: dialect.unavailable_reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Delete,
    Insert,
    ScalarSelect,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    select,
)
from sqlalchemy.sql.dml import ReturningInsert

Row = tuple[Any, ...]
Value = TypeVar("Value")


class Bulk:
    """An INSERT, UPDATE or DELETE whose parameters are `names`, in their order."""

    def __init__(self, statement: Insert | Update | Delete, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._statement = statement
        self._texts: dict[str, str] = {}

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute it once for each row."""
        if rows:
            text = self._texts.get(connection.dialect.name) or self._compile(connection)
            connection.connection.cursor().executemany(text, rows)

    def _compile(self, connection: Connection) -> str:
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=list(self.names))
        if tuple(compiled.positiontup or ()) != self.names:
            raise AssertionError(f"{compiled} does not take {self.names} in this order")
        return self._texts.setdefault(connection.dialect.name, compiled.string)


class _Compiled(NamedTuple):
    text: str
    names: Sequence[str]
    fixed: Mapping[str, Any]


class Query:
    """A statement that returns rows.

    Their values are the driver's own, and the caller converts those that need it.
    """

    def __init__(self, statement: Select[Any] | CompoundSelect[Any] | ReturningInsert[Any]) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def __call__(self, connection: Connection, **values: Any) -> Sequence[Row]:
        """Every row for these values of its parameters."""
        text, names, fixed = self._compiled.get(connection.dialect.name) or self._compile(connection)
        cursor = connection.connection.cursor()
        given = {**fixed, **values}
        try:
            cursor.execute(text, [given[name] for name in names])
            return cursor.fetchall()
        except BaseException:
            # Else SQLite reads on from where it was for as long as anybody keeps the error, and so
            # the cursor.
            cursor.close()
            raise

    def _compile(self, connection: Connection) -> _Compiled:
        made = self._statement.compile(dialect=connection.dialect)
        compiled = _Compiled(made.string, made.positiontup or (), made.params)
        return self._compiled.setdefault(connection.dialect.name, compiled)


def least(column: Column[Value], *where: ColumnElement[bool]) -> ScalarSelect[Value]:
    """Return the least value of a column where the conditions hold.

    It is the first entry of an index, and NULL when there is none.

    Not min(): planned on an empty table, and kept, it may read every entry to find the least.
    """
    first = select(column).where(*where).order_by(column).limit(1)
    return first.correlate_except(column.table).scalar_subquery()


def distinct(column: Column[Value]) -> CTE:
    """Return the values of a column, each once, found by seeks.

    Each seek finds the next greater value. What lies between is not walked over.
    """
    known = select(least(column).label(column.name)).cte(f"each_{column.name}", recursive=True)
    last = known.c[column.name]
    return known.union_all(select(least(column, column > last)).where(last.is_not(None)))


def insert_into(table: Table) -> Bulk:
    """INSERT of whole rows, columns in the table's order."""
    return Bulk(insert(table), table.columns.keys())


def delete_by(table: Table, names: Iterable[str]) -> Bulk:
    """DELETE of the rows with these values in these columns."""
    names = tuple(names)
    return Bulk(delete(table).where(*(table.c[name] == bindparam(name) for name in names)), names)
