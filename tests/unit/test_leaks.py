"""The leak guard of the tests: each kind of leak is planted, in a run of its own, and caught in its
test.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.server import TESTS

LEAKY = """
import colorsys, logging, os, signal, socket, subprocess, sys, tempfile, threading
from pathlib import Path

KEPT = [logging.getLogger("headrace")]

def test_clean(tmp_path):
    (tmp_path / "file").touch()
    subprocess.run(["true"])
    with tempfile.TemporaryDirectory():
        pass

def test_child():
    KEPT.append(subprocess.Popen(["sleep", "600"]))
    Path("pids").write_text(str(KEPT[-1].pid))

def test_orphan():
    shell = "setsid sleep 601 >&- 2>&- <&- & echo $!"
    pid = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, check=True, text=True).stdout
    Path("pids").write_text(Path("pids").read_text() + " " + pid)

def test_temporary_file():
    tempfile.mkdtemp(prefix="forgotten")

def test_file_in_the_checkout():
    Path("folder/left.txt").touch()

def test_thread():
    thread = threading.Thread(target=threading.Event().wait, daemon=True, name="lingering")
    thread.start()

def test_descriptor():
    KEPT.append(os.open("/dev/null", os.O_RDONLY))

def test_environment():
    os.environ["LEFT"] = "1"

def test_signal():
    signal.signal(signal.SIGUSR2, lambda *_: None)

def test_settings():
    os.umask(0o77)
    socket.setdefaulttimeout(3)
    logging.getLogger("headrace").setLevel(logging.ERROR)
    sys.path.append("/nowhere")
    os.chdir("folder")

def test_modules(tmp_path, monkeypatch):
    (tmp_path / "of_one_test.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    import of_one_test
    sys.modules["colorsys"] = None

def test_after_them_all():
    pass
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the leaky tests."""
    made = tmp_path / "checkout"
    (made / "folder").mkdir(parents=True)
    (made / "test_leaky.py").write_text(LEAKY)
    (made / "pids").touch()
    return made


def run(checkout: Path, *chosen: str) -> "subprocess.CompletedProcess[str]":
    """A run of pytest in the checkout, which is no worker of the one that runs this test."""
    code = "import sys, pytest; import support.leaks as leaks; leaks.PATIENCE = 0.3; sys.exit(pytest.main(sys.argv[1:]))"
    options = ["-q", "-p", "support.leaks", "-p", "no:cacheprovider", "--rootdir=.", "-c", os.devnull]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-c", code, *options, f"--basetemp={checkout.parent}/base", *(chosen or ["test_leaky.py"])],
        env={**ours, "PYTHONPATH": str(TESTS)},
        cwd=checkout, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_file_in_the_checkout_fails_a_run_side_by_side(checkout: Path) -> None:
    """With workers no test is blamed for a file in the checkout: it is named once, at the end, and
    the run fails.
    """
    done = run(checkout, "-n", "2", "test_leaky.py::test_clean", "test_leaky.py::test_file_in_the_checkout")
    assert done.returncode == 1, done.stdout
    assert f"left behind in the checkout\nfile {checkout}/folder/left.txt" in re.sub(
        "[ =]{2,}", "", done.stdout
    )
    assert "2 passed" in done.stdout
    assert "teardown" not in done.stdout


def test_each_leak_is_an_error_of_its_test(checkout: Path, tmp_path: Path) -> None:
    """A child, an orphan, files, a thread, a descriptor, a variable, a changed process: each is
    named, in its test alone; clean tests pass.
    """
    done = run(checkout)
    for pid in (checkout / "pids").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    shown = done.stdout.replace(f"{tmp_path}/", "")
    caught = dict(re.findall(r"teardown of (test_\w+) _+\nleft behind: (.*)", shown))
    # What stays to the end is told once more there, behind the last test.
    assert "thread lingering" in caught.pop("test_after_them_all"), shown
    expected = {
        "test_child": r"process \d+ \(sleep 600\)",
        "test_orphan": r"process \d+ \(sleep 601\)",
        "test_temporary_file": r"file base/temporary0/forgotten\w+",
        "test_file_in_the_checkout": "file checkout/folder/left.txt",
        "test_thread": "thread lingering",
        "test_descriptor": r"descriptor -> /dev/null",
        "test_environment": "environment LEFT",
        "test_signal": f"changed handler of signal {int(signal.SIGUSR2)}",
        "test_settings": "changed default timeout of sockets, changed import path, changed level of logger headrace, "
        "changed umask, changed working directory",
        "test_modules": "changed module colorsys, changed module of_one_test",
    }
    assert caught.keys() == expected.keys(), shown
    assert all(re.fullmatch(pattern, caught[test]) for test, pattern in expected.items()), shown
    assert "12 passed, " in shown
