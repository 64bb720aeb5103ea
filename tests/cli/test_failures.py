"""What a failure looks like: one line on stderr and an exit code, never a traceback."""

import shlex
import subprocess
import sys

import pytest
from cli.console import LIMIT, SCRIPT, Script, environment

from headrace.cli.app import run


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def test_without_the_extra() -> None:
    """Without Typer the script says in a sentence what to install, and exits 2."""
    done = python("import sys; sys.modules['typer'] = None; from headrace.cli import main; main()")
    assert done.returncode == 2
    assert done.stderr == "headrace: the command line is an extra: pip install 'headrace[cli]'\n"


def test_help_and_version_load_no_grpc() -> None:
    """Only a call to a server imports gRPC."""
    done = python(
        "import sys; from headrace.cli.app import run; "
        "assert run(['version']) == run(['list', '--help']) == 0; assert 'grpc' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("headrace ")


def test_without_the_server() -> None:
    """Where the server is not installed its commands say what to install, and the others work."""
    hide = "import sys; sys.modules['pydantic_settings'] = None; from headrace.cli.app import run; "
    done = python(hide + "sys.exit(run(['dev']))")
    assert done.returncode == 2
    assert "No such command 'dev'" in done.stderr
    assert "pip install 'headrace[server]'" in done.stderr
    assert python(hide + "sys.exit(run(['--help']))").returncode == 0


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help is shown."""
    assert run([]) == 0
    out, error = capsys.readouterr()
    assert "submit" in out
    assert "dev" in out
    assert error == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["get"], "Missing argument 'JOB_ID...'."),
        (["list", "--status", "GONE"], "'GONE' is none of PENDING, QUEUED"),
        (["list", "--order", "SIZE"], "'SIZE' is none of"),
        (["list", "-o", "xml"], "'--output'"),
        (["list", "--since", "yesterday"], "'yesterday' is no point in time; write it as 2030"),
        (
            ["get", "x", "--format", "{job.status"],
            "The format cannot be read: expected '}' before end of string.",
        ),
        (["get", "x", "--format", "x", "-o", "json"], "--format and --output exclude each other."),
        (["submit", "t", "a"], "'a' is not of the form name=text or name:=json."),
        (["submit", "t", "--label", "a"], "'a' is not of the form key=value."),
        (["submit", "t", "--backoff", "1s"], "--backoff needs --max-attempts"),
        (["submit", "t", "--run-after", "30s"], "write it as 2030-01-31T12:00:00Z or as +30s"),
        (["stop", "x", "--grace", "soon"], "'soon' is no length of time"),
        (["update", "x"], "There is nothing to change"),
    ],
)
def test_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    """What cannot be understood is one line that says why, and exit code 2."""
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")  # as the script sets it for its process: this one lives on
    assert run(words) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("headrace: ")
    assert error.count("\n") == 1
    assert said in error


@pytest.mark.slow
def test_no_server(alone: Script) -> None:
    """A server that does not answer is one line with its address and the way out, and exit code 6."""
    said = "Nothing answers at 127.0.0.1:1: is it running? Start one with `headrace dev`."
    for words in (["list"], ["run", "t"], ["watch", "x"], ["wait", "x"]):
        assert alone.error(*words, code=6) == said


@pytest.mark.slow
def test_a_reader_that_has_gone(alone: Script) -> None:
    """A closed pipe ends the script as SIGPIPE would, without a word."""
    with subprocess.Popen(
        [*SCRIPT, "version"], env=alone.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.slow
def test_completion(alone: Script) -> None:
    """The shell completes commands and options."""

    def completed(line: str, place: int) -> list[str]:
        words = {"_HEADRACE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(place)}
        return Script({**alone.environment, **words})().split()

    assert completed("headrace su", 1) == ["submit", "submit-many"]
    assert "--max-attempts" in completed("headrace submit --max", 2)
    # Typer looks for the shell among the processes above: a run that was started by none has none.
    shown = subprocess.run(
        ["bash", "-c", f"{shlex.join([*SCRIPT, '--show-completion'])}; exit $?"],
        env=dict(alone.environment), capture_output=True, text=True, timeout=LIMIT, check=True,
    )  # fmt: skip
    assert "complete" in shown.stdout
