"""What tests that run side by side share: one PostgreSQL and one RabbitMQ, started once by whoever
starts the workers.

    pytest -n 4 ── starts ──> PostgreSQL, RabbitMQ
        │ their addresses
        ├──> worker gw0: databases and virtual hosts of its own in them
        └──> worker gw1: …

Without workers nothing is started here: the fixtures of support.databases and support.brokers start
what is asked for. A service that is named by the environment, or is missing, is theirs to judge
too.
"""

import os
from contextlib import ExitStack, suppress
from typing import Any, Final

import pytest
from xdist.workermanage import WorkerController

POSTGRESQL: Final = "postgresql"
RABBITMQ: Final = "rabbitmq"
_STARTED: Final = pytest.StashKey[dict[str, Any]]()


def started(config: pytest.Config, name: str) -> Any:
    """In a worker, where a service is that was started for all of them; else None."""
    return getattr(config, "workerinput", {}).get(name)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker before it starts. The first one is what the services are started for."""
    if _STARTED not in node.config.stash:
        ends = ExitStack()
        node.config.add_cleanup(ends.close)
        node.config.stash[_STARTED] = _start(ends)
    node.workerinput.update(node.config.stash[_STARTED])


def _start(ends: ExitStack) -> dict[str, Any]:
    from support import postgresql, rabbitmq  # noqa: PLC0415 - what only workers need is not loaded for them

    found: dict[str, Any] = {}
    if not os.environ.get(postgresql.GIVEN):
        with suppress(FileNotFoundError):
            found[POSTGRESQL] = ends.enter_context(postgresql.own()).url
    if not os.environ.get(rabbitmq.GIVEN):
        with suppress(FileNotFoundError):
            # It takes seconds to come up: who needs it waits for it, and the others do not.
            found[RABBITMQ] = tuple(ends.enter_context(rabbitmq.own(ready=False)).address)
    return found
