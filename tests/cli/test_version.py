"""The version of the command."""

import pytest

from headrace import _version
from headrace.cli.app import run


@pytest.mark.parametrize("words", [["--version"], ["version"], ["--target", "nowhere:1", "--version"]])
def test_the_version_is_an_option_and_a_command(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Both print the same line, and ask no server."""
    assert run(words) == 0
    assert capsys.readouterr().out == f"headrace {_version.read()}\n"
