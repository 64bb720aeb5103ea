"""The plans of what a claim reads, as the database carried them out: P6 prints them."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from headrace_server.store.tables.statement import Query, Row

EXPLAIN = {
    "sqlite": "EXPLAIN QUERY PLAN",
    "postgresql": "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)",
}


@contextmanager
def explained() -> Iterator[dict[str, list[str]]]:
    """Every query of the store meanwhile with its plan, made on its own connection just before it."""
    plans: dict[str, list[str]] = {}
    ask = Query.__call__

    def explain(query: Query, connection: Connection, **values: Any) -> Sequence[Row]:
        database = connection.dialect.name
        text, names, fixed = query._compile(connection)  # noqa: SLF001 - there is no other way
        if text.startswith("INSERT"):  # what is explained is carried out
            return ask(query, connection, **values)
        cursor = connection.connection.cursor()
        cursor.execute(f"{EXPLAIN[database]} {text}", [{**fixed, **values}[name] for name in names])
        rows = cursor.fetchall()
        plans.setdefault(text, _tree(rows) if database == "sqlite" else [line for (line,) in rows])
        return ask(query, connection, **values)

    Query.__call__ = explain  # type: ignore[method-assign] # that is what it is for
    try:
        yield plans
    finally:
        Query.__call__ = ask  # type: ignore[method-assign] # as it was


def show(plans: dict[str, list[str]], about: str) -> None:
    """Print those that read the queue, the gates and what is held."""
    for text, plan in plans.items():
        if "FROM ready" in text or "FROM gate" in text or "status IN (3, 4)" in text:
            print(f"\n{about}: {' '.join(text.split())}", file=sys.stderr)
            print("\n".join(f"    {line}" for line in plan), file=sys.stderr)


def _tree(rows: Sequence[Row]) -> list[str]:
    depths = {0: -1}
    for step, parent, *_ in rows:
        depths[step] = depths[parent] + 1
    return [f"{'  ' * depths[step]}{said}" for step, _, _, said in rows]
