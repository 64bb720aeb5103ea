"""headrace_server.work.loading: job modules in a process of their own, whatever they do to it."""

import asyncio
import contextlib
import logging
import resource
import signal
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from work.pool_support import alive, fact, workshop

from headrace_server.domain.errors import InvalidParameter, LoaderUnavailable, UnknownType
from headrace_server.work.child.necessities import Necessities
from headrace_server.work.linux import process_tree
from headrace_server.work.loading import Loading

pytestmark = pytest.mark.slow

Open = Callable[..., contextlib.AbstractAsyncContextManager[Loading]]

SOUND = """
import ctypes, os, time
from enum import Enum
from typing import Annotated
from pydantic import BeforeValidator
from headrace.jobs import job

class Colour(Enum):
    RED = "red"

def act(value):
    if value == 1: time.sleep(1000)
    if value == 2: os._exit(3)
    if value == 3: os.kill(os.getpid(), 19)
    if value == 5: os.fork()
    return value

@job("plain")
def plain(ctx, n: int): ...

@job("rich")
def rich(ctx, colour: Colour = Colour.RED, n: Annotated[int, BeforeValidator(act)] = 0): ...
"""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Loads modules of these texts, by name, in their order."""
    monkeypatch.syspath_prepend(tmp_path)

    @contextlib.asynccontextmanager
    async def opened(seconds: float = 10, **modules: str) -> AsyncIterator[Loading]:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        loading = Loading(list(modules), entry_points=False, load_seconds=seconds)
        try:
            await loading.first()
            yield loading
        finally:
            await loading.close()
            process_tree._prctl(process_tree._PR_SET_CHILD_SUBREAPER, 0)

    return opened


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\nos._exit(7)", "exited with code 7"),
        ("import os\nos._exit(0)", "exited with code 0"),
        ("import os\nos.kill(os.getpid(), 11)", "was killed by signal 11 (SIGSEGV)"),
        ("import os\nos.kill(os.getpid(), 9)", "was killed by signal 9 (SIGKILL)"),
        ("import os\nos.closerange(0, 1000)", "exited with code 1"),
        ("import os\nos.killpg(0, 9)", "was killed by signal 9 (SIGKILL)"),
        ("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(1000)", "was killed with its supervisor"),
        ("import time\ntime.sleep(1000)", "took longer than 6 s (the setting load_time)"),
        ("import os\nos.kill(os.getpid(), 19)", "took longer than 6 s (the setting load_time)"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("raise KeyboardInterrupt", "exited with code 1"),
        ("import sys\nsys.modules[__name__] = object()\nraise ValueError('odd')", "ValueError: odd"),
    ],
)
async def test_a_module_that_breaks_its_process(
    opened: Open, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A module that ends, kills, blinds or holds up the process that imports it is named in the
    log, and the others load.
    """
    # Enough for the sound ones on a busy machine; only where one hangs is it waited for.
    async with opened(6, first=SOUND, breaks=text, last=SOUND.replace("plain", "other")) as loading:
        assert loading.registry.names == {"plain", "rich", "other"}
        (recorder,) = (
            record for record in caplog.records if "job module breaks failed to load" in record.message
        )
        assert recorder.levelno == logging.ERROR
        assert said in recorder.message
        assert said in next(one.load_error for one in loading.registry.infos() if one.module == "breaks")


async def test_what_a_module_bends(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    """What a module does to the process is told by name, put back for the next one, and never done
    to the server.
    """
    bends = """
        import logging, os, signal, socket, sys, threading, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        socket.setdefaulttimeout(10)
        os.chdir("/proc")
        os.umask(0o077)
        logging.basicConfig(level="ERROR")
        sys.stdout = None
        threading.Thread = None
        sys.setrecursionlimit(200)
        sys.path.clear()
        sys.meta_path.clear()
        import pydantic
        pydantic.TypeAdapter.validate_python = pydantic.TypeAdapter = None
    """
    before = (signal.getsignal(signal.SIGTERM), Path.cwd(), logging.getLogger().level)
    async with opened(first=bends, last="import time\ntime.sleep(1)" + SOUND) as loading:
        assert loading.registry.names == {"plain", "rich"}
        assert loading.registry.infos()[-1].load_error == ""
        assert loading.found.bends == {
            "first": [
                "sets a handler for SIGTERM",
                "blocks or unblocks SIGUSR1",
                "sets an alarm",
                "sets the default timeout of sockets to 10.0 s",
                "sets the umask to 077",
                "changes the working directory",
                "configures logging",
                "replaces a standard stream",
                "replaces threading.Thread",
                "replaces pydantic.TypeAdapter",
                "replaces TypeAdapter.validate_python",
                "sets the recursion limit to 200",
                "takes folders out of sys.path",
                "takes finders out of sys.meta_path",
            ]
        }
        assert any("job module first sets a handler for SIGTERM" in one.message for one in caplog.records)
    assert (signal.getsignal(signal.SIGTERM), Path.cwd(), logging.getLogger().level) == before


async def test_what_a_worker_needs_is_put_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A module that leaves too low limits and no way to import is named, workers put that back, and
    the modules behind it have their types.
    """
    modules = ["work.starving_module", "work.process_jobs"]
    loading = Loading(modules, entry_points=False, load_seconds=30)
    try:
        await loading.first()
        assert {"limits", "pool"} <= loading.registry.names
    finally:
        await loading.close()
    put_back = next(one.message for one in caplog.records if "workers put that back" in one.message)
    for words in (
        "sys.path",
        "sys.meta_path",
        *(f"sets RLIMIT_{name} too low" for name in ("NOFILE", "CPU", "AS", "DATA")),
    ):
        assert words in put_back
    async with workshop(tmp_path, modules=modules) as shop:
        assert (await shop.run("limits")).result == "[]"
        assert (await shop.run("fork-and-end", how="3")).result == "3"


def test_limits_that_leave_enough_stay() -> None:
    """What a module sets that a worker can live with stays as the module has it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    needs = Necessities()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
        assert needs.put_back() == []
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[0] - 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


LATER = """
import os, threading, time
threading.Thread(target=lambda: (time.sleep(0.1), os._exit(5)), daemon=True).start()
"""


@pytest.mark.parametrize("seconds", [0, 0.5])
async def test_a_module_that_ends_the_process_later(
    opened: Open, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A module by whose thread the process ends while another is imported, or none any more, is the
    one that is left out.
    """
    monkeypatch.setattr("headrace_server.work.loading._MOMENT", 0.5)
    async with opened(breaks=LATER, last=f"import time\ntime.sleep({seconds}){SOUND}") as loading:
        loading.keep(lambda: None)
        await fact(lambda: "breaks" in loading.found.errors, "it is found")
        assert "exited with code 5" in loading.found.errors["breaks"]
        assert loading.left_out == {"breaks"}
        assert loading.registry.names == {"plain", "rich"}


REPLACED = """
import json, sys
json.dumps = json.loads = lambda *_, **__: None
json.JSONEncoder.encode = lambda *_: "nonsense"
json.JSONDecoder.decode = lambda *_: None

class Module:
    __slots__ = ()

    def __getattr__(self, name):
        raise RuntimeError(name)

sys.modules[__name__] = Module()
"""


async def test_a_module_that_replaces_what_it_is_loaded_with(opened: Open) -> None:
    """JSON that a module replaces for itself, and an odd object that it puts in its own place, keep
    no other from loading.
    """
    async with opened(first=REPLACED, last=SOUND) as loading:
        assert {one.type: one.load_error for one in loading.registry.infos()} == {"plain": "", "rich": ""}
        assert await loading.registry.check("rich", {"n": 4}) == {"colour": "red", "n": 4}


async def test_checks(opened: Open) -> None:
    """Plain types are checked here, others by the loader, which gives up after a second and goes
    on.
    """
    async with opened(jobs=SOUND) as loading:
        check = loading.registry.check
        assert await check("plain", {"n": "3"}) == {"n": 3}
        assert await check("rich", {"colour": "red", "n": "4"}) == {"colour": "red", "n": 4}
        with pytest.raises(InvalidParameter) as caught:
            await check("rich", {"colour": "blue", "m": 1})
        assert [field for field, _ in caught.value.fields] == [
            "spec.parameters[m]",
            "spec.parameters[colour]",
        ]
        with pytest.raises(LoaderUnavailable, match="took longer than 1 s"):
            await check("rich", {"n": 1})
        assert await check("rich", {"n": 4}) == {"colour": "red", "n": 4}


async def test_a_check_that_forks(opened: Open) -> None:
    """A process that a check has forked, and that comes back into the loader, is no second one."""
    async with opened(jobs=SOUND) as loading:
        for _ in range(3):
            assert await loading.registry.check("rich", {"n": 5}) == {"colour": "red", "n": 5}
        (life,) = loading._processes._lives.values()
        pid = loading._processes._supervision.pids[life.number]
        await fact(lambda: set(_states_below(pid)) <= {"Z"}, "none goes on")


def _states_below(pid: int) -> list[str]:
    stats = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    return [state for state, parent, *_ in stats if int(parent) == pid]


@pytest.mark.parametrize(("deadly", "said"), [(2, "exited with code 3"), (3, "took longer than 1 s")])
async def test_a_check_that_breaks_the_loader(opened: Open, deadly: int, said: str) -> None:
    """A check that ends or stops the loader is UNAVAILABLE in a sentence; plain types go on, and
    another loader is there soon.
    """
    async with opened(jobs=SOUND) as loading:
        check = loading.registry.check
        loads = asyncio.Event()
        loading.keep(loads.set)
        loads.clear()
        with pytest.raises(LoaderUnavailable, match=said):
            await check("rich", {"n": deadly})
        assert await check("plain", {"n": 1}) == {"n": 1}
        async with asyncio.timeout(20):
            await loads.wait()
        assert await check("rich", {"n": 4}) == {"colour": "red", "n": 4}


async def test_a_repair_is_noticed(opened: Open, tmp_path: Path) -> None:
    """A module that is mended on the disk loads without a restart, and its types can be submitted."""
    async with opened(broken="def half(\n", jobs=SOUND) as loading:
        with pytest.raises(UnknownType):
            await loading.registry.check("mended", {})
        loading.keep(lambda: None)
        (tmp_path / "broken.py").write_text(
            "from headrace.jobs import job\n@job('mended')\ndef mended(ctx): ...\n"
        )
        await fact(lambda: "mended" in loading.registry.names, "it is known")
        assert [one.load_error for one in loading.registry.infos()] == ["", "", ""]


async def test_types_of_a_module_that_breaks_later_stay(opened: Open, tmp_path: Path) -> None:
    """What was loaded once stays known while its module is broken, and is checked by the loader
    that has it.
    """
    async with opened(jobs=SOUND) as loading:
        loading.keep(lambda: None)
        (tmp_path / "jobs.py").write_text("def half(\n")
        loading.look_again()
        await fact(lambda: loading.found.errors, "it is seen")
        assert loading.registry.names == {"plain", "rich"}
        assert await loading.registry.check("rich", {"colour": "red"}) == {"colour": "red", "n": 0}
        assert "SyntaxError" in loading.registry.infos()[-1].load_error


async def test_processes_that_a_module_starts(opened: Open, tmp_path: Path) -> None:
    """What a module starts when it is imported is gone with the loader, in a session of its own or
    not.
    """
    text = f"""
        import os, subprocess, sys
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        if os.fork() == 0: pass  # comes back into the loader's own code
    """
    async with opened(starts=text, jobs=SOUND) as loading:
        assert loading.registry.names == {"plain", "rich"}
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
    assert not alive(pid)


async def test_what_it_writes_goes_nowhere(opened: Open, capfd: pytest.CaptureFixture[str]) -> None:
    """A module may write without end: the loader does not wait for a reader, and the server's
    streams stay clean.
    """
    text = "import os, sys\nfor n in range(100):\n    print('x' * 10_000)\n    os.write(2, b'y' * 10_000)\n"
    async with opened(writes=text + SOUND) as loading:
        assert loading.registry.names == {"plain", "rich"}
    assert capfd.readouterr() == ("", "")
