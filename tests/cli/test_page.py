"""docs/cli.md: the lines of its session do what stands behind them."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from cli.console import LIMIT, SCRIPT, Script

from headrace import errors

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()
SESSION = re.findall(r"^    (.*?)(?: +# (.*))?$", PAGE.partition("\n## ")[0], re.MULTILINE)
PRINTED = re.compile(r"\d+|[A-Z]+( \d+)?|\{.*")
"""What stands behind a line where it prints something; else it is a remark."""


def test_the_session(headrace: Script, tree: Path) -> None:
    """Every line of the page, in one shell and in order, prints what the page says."""
    said = [text for _, text in SESSION if PRINTED.fullmatch(text)]
    assert len(said) == len(SESSION) - 2  # one that keeps an id, one that writes a file
    command = f'headrace() {{ {shlex.join(SCRIPT)} "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", command + "\n".join(line for line, _ in SESSION)],
        cwd=tree, env=dict(headrace.environment), capture_output=True, text=True, timeout=4 * LIMIT, check=False,
    )  # fmt: skip
    assert [line.strip() for line in done.stdout.splitlines()] == said, done.stderr


def test_the_exit_codes() -> None:
    """Each code that an error of the client has is on the page."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.HeadraceError)}
    assert codes <= {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
