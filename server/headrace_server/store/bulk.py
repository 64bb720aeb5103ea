"""Statements for many rows at once, given by place.

SQLAlchemy takes rows as dicts and sorts each into place; for rows as wide as a job that costs a third of the whole
write. A Bulk has SQLAlchemy compile the statement once and hands the driver tuples in the order of its names.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Table, Update, bindparam, delete, insert

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
            connection.exec_driver_sql(self._text or self._compile(connection), rows)

    def _compile(self, connection: Connection) -> str:
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=list(self.names))
        if tuple(compiled.positiontup or ()) != self.names:
            raise AssertionError(f"{compiled} does not take {self.names} in this order")
        self._text = compiled.string
        return self._text


def insert_into(table: Table) -> Bulk:
    """INSERT of whole rows, columns in the table's order."""
    return Bulk(insert(table), table.columns.keys())


def delete_by(table: Table, names: Iterable[str]) -> Bulk:
    """DELETE of the rows with these values in these columns."""
    names = tuple(names)
    return Bulk(delete(table).where(*(table.c[name] == bindparam(name) for name in names)), names)
