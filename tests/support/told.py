"""What tests tell whoever runs them: shown at the end of the run, whether they failed or not.

def test_storm(told):
    told("The kill storm", "…")
"""

from collections.abc import Callable
from typing import Final

import pytest
from xdist.workermanage import WorkerController

_TOLD: Final = pytest.StashKey[list[tuple[str, str]]]()
_OUTPUT: Final = "told"


@pytest.fixture
def told(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Takes a title and a text."""
    kept = pytestconfig.stash.setdefault(_TOLD, [])
    return lambda title, text: kept.append((title, text))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What was told in a worker goes to whoever shows it."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output[_OUTPUT] = session.config.stash.get(_TOLD, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Take it from a worker; one that died has told nothing."""
    told = getattr(node, "workeroutput", {}).get(_OUTPUT, [])
    node.config.stash.setdefault(_TOLD, []).extend((title, text) for title, text in told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show it."""
    for title, text in config.stash.get(_TOLD, []):
        terminalreporter.section(title)
        terminalreporter.write_line(text)
