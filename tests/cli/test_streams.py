"""Whatever the standard streams are, the exit code is the job's and the result is printed where it
can be.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cli.console import LIMIT, SCRIPT, Script

pytestmark = pytest.mark.slow


def shell(script: Script, words: str) -> tuple[int, str, str]:
    """Run a line of bash in which $H is the script; returns exit code, stdout and stderr."""
    done = subprocess.run(
        ["bash", "-c", words.replace("$H", shlex.join(SCRIPT))],
        env=dict(script.environment), capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "out", "said"),
    [
        ("$H run test.echo a=é日😀 2>&-", '{"a": "é日😀"}\n', None),
        ("$H run test.echo a=é日😀 2>/dev/full", '{"a": "é日😀"}\n', None),
        ("PYTHONIOENCODING=ascii $H run test.echo a=é日😀", '{"a": "\\u00e9\\u65e5\\ud83d\\ude00"}\n', None),
        ("$H run test.echo a=b >&-", "", "stdout could not be written: Bad file descriptor."),
        ("$H run test.echo a=b >/dev/full", "", "stdout could not be written: No space left on device."),
        ("$H run test.echo a=b 0>&- 1>&- 2>&-", "", None),
        ("$H run test.report total=3 2>&1 | head -1 >/dev/null; exit ${PIPESTATUS[0]}", "", None),
    ],
)
def test_a_job_that_succeeds_ends_with_0(headrace: Script, words: str, out: str, said: str | None) -> None:
    """Streams that are closed, full, of a narrow encoding or left by their reader change nothing
    but what is read.
    """
    code, printed, beside = shell(headrace, words)
    assert (code, printed) == (0, out)
    assert "Traceback" not in beside
    assert said is None or f"headrace: {said}\n" in beside


@pytest.mark.parametrize("where", [">/dev/full", "2>&-", "2>&1 | head -0; exit ${PIPESTATUS[0]}"])
def test_a_job_that_fails_ends_with_1(headrace: Script, where: str) -> None:
    """The code of a failure is the job's as well."""
    assert shell(headrace, f"$H run test.fail {where}")[0] == 1


def test_a_list_that_cannot_be_written(headrace: Script) -> None:
    """What only prints ends with 74 and a sentence, or with 141 where its reader has gone."""
    headrace("submit", "test.noop", "--hold")
    for form in ("table", "json", "yaml", "jsonl"):
        code, _, beside = shell(headrace, f"$H list -o {form} >/dev/full")
        assert (code, beside) == (74, "headrace: stdout could not be written: No space left on device.\n"), (
            form
        )


def test_yaml_and_json_stay_readable_in_a_narrow_encoding(headrace: Script) -> None:
    """What the encoding lacks is escaped as the form of the output has it, not as Python does."""
    job_id = headrace("submit", "test.echo", "a=é日😀", "--hold")
    narrow = Script({**headrace.environment, "PYTHONIOENCODING": "ascii"})
    for read, form in ((json.loads, "json"), (yaml.safe_load, "yaml")):
        assert read(narrow("get", job_id, "-o", form))["spec"]["parameters"] == {"a": "é日😀"}


@pytest.mark.parametrize(
    "module", ["re", "typing", "typer", "rich.console", "headrace.cli.app", "grpc", "headrace.client"]
)
def test_ctrl_c_while_it_starts(alone: Script, tmp_path: Path, module: str) -> None:
    """Ctrl-C in any import of the start ends it with 130, without a word."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING.format(module=module))
    path = f"{tmp_path}:{alone.environment['PYTHONPATH']}"
    done = subprocess.run(
        [*SCRIPT, "list"], env={**alone.environment, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


INTERRUPTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


def test_an_ignored_ctrl_c_stays_ignored(alone: Script) -> None:
    """Who starts the script with SIGINT ignored, as a shell does in the background, has it go on."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from headrace.cli import main, interrupts"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; interrupts.hush(); signal.raise_signal(signal.SIGINT); main()", "version"],
        env=dict(alone.environment), capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[0]) == (0, "headrace")


@pytest.mark.parametrize("words", ["--help", "get --help", "--version", "--show-completion bash"])
def test_help_that_cannot_be_written(alone: Script, words: str) -> None:
    """Help, version and completion that nobody has got are no success either."""
    code, _, beside = shell(alone, f"$H {words} >/dev/full")
    assert (code, beside) == (74, "headrace: stdout could not be written: No space left on device.\n")
