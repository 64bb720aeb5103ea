"""What tests tell whoever runs them: shown at the end of the run, whether they failed or not.

def test_storm(announce):
    announce("The kill storm", "…")
"""

from collections.abc import Callable
from typing import Final

import pytest
from xdist.workermanage import WorkerController

_REPORTED: Final = pytest.StashKey[list[tuple[str, str]]]()
_OUTPUT: Final = "reported"


@pytest.fixture
def announce(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Takes a title and a text."""
    kept = pytestconfig.stash.setdefault(_REPORTED, [])
    return lambda title, text: kept.append((title, text))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What was reported in a worker goes to whoever shows it."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output[_OUTPUT] = session.config.stash.get(_REPORTED, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Take it from a worker; one that died has reported nothing."""
    said = getattr(node, "workeroutput", {}).get(_OUTPUT, [])
    node.config.stash.setdefault(_REPORTED, []).extend((title, text) for title, text in said)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show it."""
    for title, text in config.stash.get(_REPORTED, []):
        terminalreporter.section(title)
        terminalreporter.write_line(text)
