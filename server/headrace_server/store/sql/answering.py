"""One question to a PostgreSQL server that may have stopped answering.

The driver's own calls wait as long as the connection lives, and a connection to a server that
stands still lives: its kernel acknowledges what nobody reads.
"""

import select
import time

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn


def answer(connection: PGconn, question: bytes, seconds: float) -> bytes | None:
    """Return the first value of the first row, or None without a row.

    Raises psycopg.OperationalError, after which the connection is of no use.
    """
    until = time.monotonic() + seconds
    arrival = select.poll()
    arrival.register(connection.socket, select.POLLIN)
    connection.send_query(question)
    connection.flush()
    value = None
    while True:
        while connection.is_busy():
            left = until - time.monotonic()
            if left <= 0 or not arrival.poll(left * 1000):
                raise psycopg.OperationalError(f"no answer within {seconds:g} s")
            connection.consume_input()
        result = connection.get_result()
        if result is None:
            return value
        if result.status != ExecStatus.TUPLES_OK:
            raise psycopg.OperationalError(result.get_error_message())
        value = result.get_value(0, 0) if result.ntuples else None
