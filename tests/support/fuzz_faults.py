"""A server with a bug: counting jobs raises what nobody expects.

python -m support.fuzz_faults serve        the product, with its store replaced through app.py
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from typer import Typer

from headrace_server.__main__ import register
from headrace_server.app import App
from headrace_server.domain.query import Filter, Group
from headrace_server.store.store import SqlStore

COMMAND = (sys.executable, "-m", "support.fuzz_faults")
UNTOLD = "the cat is on the table"


class FaultyStore(SqlStore):
    """Cannot count."""

    async def count(self, tenant: str | None, which: Filter, groups: Sequence[Group]) -> NoReturn:
        """Raise."""
        del tenant, which, groups
        raise RuntimeError(UNTOLD)


def main() -> None:
    """The server's commands, on another store."""
    App.make_store = staticmethod(FaultyStore.open)
    commands = Typer(no_args_is_help=True)
    register(commands)
    commands()


if __name__ == "__main__":
    main()
