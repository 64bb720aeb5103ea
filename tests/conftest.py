"""What every test has: a guard that lets none leave anything behind, PostgreSQL and RabbitMQ for
those that ask for them, a way to be heard.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

try:
    import hypothesis
except ModuleNotFoundError:  # in the environment of the light client, where no test needs it
    pass
else:  # a busy machine makes no example wrong
    hypothesis.settings.register_profile(
        "no deadline",
        hypothesis.settings(),
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("no deadline")

pytest_plugins = (
    "support.leaks",
    "support.services",
    "support.databases",
    "support.brokers",
    "support.announce",
)

DEEP = frozenset({"chaos", "property"})
"""The folders of the tests that break things, and of those that try many things: `make test-deep`.
"""


# Tests start hundreds of processes: what one has compiled is there for the next, whatever the
# surroundings say of that.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure() -> None:
    """Ctrl-C ends what tests start, in a run that a shell has put into the background with SIGINT
    ignored too.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the deep tests; and let files with slow tests begin first, so that no worker is left
    alone with one.
    """
    slow: set[Path] = set()
    for item in items:
        if DEEP.intersection(item.path.parts):
            item.add_marker("deep")
        if item.get_closest_marker("slow"):
            slow.add(item.path)
    items.sort(key=lambda item: item.path not in slow)
