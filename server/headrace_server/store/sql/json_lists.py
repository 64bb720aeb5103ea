"""Lists as one parameter: a JSON array that the database reads.

The file of each database says how it reads the array.

A list in the text of a statement would make a statement of each length.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Subquery,
    TableValuedAlias,
    Text,
    bindparam,
    literal_column,
    select,
)
from sqlalchemy.sql.functions import FunctionElement


class AnyOf(FunctionElement[bool]):
    """Whether a column's value is an entry of a JSON array.

    It has no type: a Boolean would be compared with 1 on SQLite, and no index would serve it.
    """

    inherit_cache = True


class Elements(FunctionElement[Any]):
    """The entries of a JSON array, as rows with the column `value`."""

    inherit_cache = True


class ElementAt(FunctionElement[str]):
    """An entry of a JSON array by its place."""

    inherit_cache = True
    type = Text()


def among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether a column's value is among the entries of a bound JSON array."""
    return AnyOf(column, bindparam(name))


def each(name: str) -> TableValuedAlias:
    """The entries of a bound JSON array, as rows with the column `value`."""
    return Elements(bindparam(name)).table_valued("value")


def pairs(name: str) -> Subquery:
    """The entries of a bound JSON array of pairs, as rows with the columns `first` and `second`."""
    pair = each(name)
    first, second = (ElementAt(pair.c.value, literal_column(place)) for place in "01")
    return select(first.label("first"), second.label("second")).subquery()
