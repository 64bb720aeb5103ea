"""The help, on a terminal of 80 columns."""

import re

import pytest

from headrace.cli.app import run
from headrace_server.config import Settings

COMMANDS = [
    "submit",
    "submit-many",
    "run",
    "watch",
    "get",
    "list",
    "stop-jobs",
    "update-jobs",
    "limit",
    "types",
    "serve",
    "dev",
    "doctor",
]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS), ["db", "upgrade"]])
def test_nothing_is_wider_than_the_terminal_or_cut(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Every line fits, and every option stands there whole with what it does."""
    assert run([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if re.search(r"--[a-z-]+…", line)]
    shown = lines[lines.index(next(line for line in lines if line.endswith(":") and line[0] != " ")) :]
    for line, following in zip(shown, [*shown[1:], ""], strict=True):
        if line.startswith("  -"):
            assert re.search(r"\S {2,}\S", line) or re.match(r" {8,}\S", following), line


def test_settings_stand_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """`serve` has every setting, in groups with a title."""
    assert run(["serve", "--help"]) == 0
    shown = capsys.readouterr().out
    titles = re.findall(r"^(\w.*):$", shown, re.MULTILINE)
    assert len(titles) >= 8
    assert {"Database", "Address", "Jobs and workers", "Limits of a job", "What is kept"} <= set(titles)
    for name in Settings.model_fields:
        assert re.search(rf"^  --{name.replace('_', '-')}\b", shown, re.MULTILINE), name
