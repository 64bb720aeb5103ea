"""The batch marker: what became of a COMMIT whose answer was lost.

A batch's first statement inserts (writer, number of the batch). When its COMMIT got no answer,
inserting the same row again finds out, whatever the old backend is doing:

    the old backend …               the insert
    has committed                   finds the row there               the batch is true
    is still at it                  waits for it                      … and then one of the other two
    has rolled back, or never will  succeeds                          the batch is to be carried out again

Merely reading would race with the old backend, and doing the work again without asking would do it
twice. Until it is known the writer goes on with nothing else.
"""

from typing import Final

from sqlalchemy import Connection, bindparam, delete
from sqlalchemy.dialects.postgresql import insert

from headrace_server.store.tables.schema import batch
from headrace_server.store.tables.statement import Bulk, Query

KEPT: Final = 256
"""Batches after which the markers of the earlier ones are deleted."""

_mark = Query(insert(batch).on_conflict_do_nothing().returning(batch.c.seq))
_forget = Bulk(
    delete(batch).where(batch.c.writer == bindparam("mine"), batch.c.seq < bindparam("before")),
    ("mine", "before"),
)


class Marker:
    """The markers of one writer."""

    def __init__(self, writer: int) -> None:
        self._writer = writer
        self._next = 1

    def place(self, connection: Connection) -> bool:
        """Mark the batch that this transaction is; False when it was committed already."""
        return bool(_mark(connection, writer=self._writer, seq=self._next))

    def tidy(self, connection: Connection) -> None:
        """Now and then delete markers that nobody will ask for again."""
        if self._next % KEPT == 0:
            _forget(connection, [(self._writer, self._next)])

    def committed(self) -> None:
        """The next batch is another."""
        self._next += 1
