"""What tests tell whoever runs them: shown at the end of the run, whether they failed or not.

def test_storm(told):
    told("The kill storm", "…")
"""

from collections.abc import Callable
from typing import Final

import pytest

_TOLD: Final = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture
def told(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Takes a title and a text."""
    kept = pytestconfig.stash.setdefault(_TOLD, [])
    return lambda title, text: kept.append((title, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show it."""
    for title, text in config.stash.get(_TOLD, []):
        terminalreporter.section(title)
        terminalreporter.write_line(text)
