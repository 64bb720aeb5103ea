"""Children that die: what is known of each run, and the child that follows."""

import os
import signal
import time
from pathlib import Path

import pytest
from work.pool_support import alive, children_of, fact, note_of, open_fds, workshop

from headrace_server.domain.job import ErrorKind
from headrace_server.work.linux import workspace
from support.figures import guard

pytestmark = pytest.mark.slow


def remaining(folder: Path) -> list[Path]:
    """What is in a folder."""
    return list(folder.iterdir())


FALLS = [
    ("exit", "exited with code 3"),
    ("kill", "killed by signal 9 (SIGKILL)"),
    ("segfault", "killed by signal 11 (SIGSEGV)"),
]


@pytest.mark.parametrize(("how", "cause"), FALLS)
async def test_one_run_is_lost_and_no_other(tmp_path: Path, how: str, cause: str) -> None:
    """A run that ends its process is told with the cause; those behind it were never begun (failure
    cases 2, 3).
    """
    async with workshop(tmp_path, size=2) as shop:
        other, _pid = await shop.started("gate", slot="worker-2", path=tmp_path / "go")
        before = shop.send("noop")
        key = shop.send("fall", how=how)
        behind = [shop.send("noop") for _ in range(5)]
        sent = time.monotonic()
        assert await shop.recorder.lost() == ("lost", "worker-1", [key], behind, cause)
        assert [call[2] for call in shop.recorder.of("begun") if call[1] == "worker-1"] == [before, key]
        assert "about to fall" in shop.recorder.texts(key)
        if how == "segfault":
            assert any("pool_jobs.py" in text for text in shop.recorder.texts(key, 3))
        await shop.recorder.ready(3)
        took = time.monotonic() - sent
        print(f"{how}: ready again after {took:.3f} s")
        assert took < guard(2)
        assert (await shop.run("noop")).error is None
        (tmp_path / "go").touch()
        assert (await shop.recorder.outcome(other)).error is None


@pytest.mark.parametrize("text", ["no frame", '["progress"]\n', '["finished",1]\n', "[]\n", "\0\n"])
async def test_a_child_that_nobody_understands_is_replaced(tmp_path: Path, text: str) -> None:
    """What a job writes into its worker's socket costs this run, and no other; the slot works on."""
    async with workshop(tmp_path) as shop:
        key = shop.send("babble", text=text, go=str(tmp_path / "never"))
        behind = shop.send("noop")
        assert await shop.recorder.lost() == (
            "lost",
            "worker-1",
            [key],
            [behind],
            "killed by signal 9 (SIGKILL)",
        )
        await shop.recorder.ready(2)
        assert (await shop.run("noop")).error is None


@pytest.mark.parametrize(
    ("how", "type_name"),
    [("memory", "MemoryError"), ("sys.exit", "SystemExit"), ("interrupt", "KeyboardInterrupt")],
)
async def test_exceptions_do_not_end_the_process(tmp_path: Path, how: str, type_name: str) -> None:
    """MemoryError, SystemExit and KeyboardInterrupt are errors of the run; the child goes on
    (failure case 3).
    """
    async with workshop(tmp_path) as shop:
        pid = shop.pool.pid("worker-1")
        outcome = await shop.run("fall", how=how)
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.EXCEPTION
        assert outcome.error.type == type_name
        assert (await shop.run("noop")).error is None
        assert shop.pool.pid("worker-1") == pid


async def test_a_child_killed_at_any_moment_leaves_every_run_known(tmp_path: Path) -> None:
    """Over many kills under load each run is finished, lost as begun, or never begun: one, once
    (failure cases 2, 3).
    """
    async with workshop(tmp_path, size=2) as shop:
        sent = []
        for kill in range(30):
            for slot in shop.pool.slots:
                sent += [shop.send("nap", slot=slot) for _ in range(10)]
            victim = shop.pool.slots[kill % 2]
            seen = len(shop.recorder.of("begun"))
            await shop.recorder.until(lambda: len(shop.recorder.of("begun")) >= seen + kill % 5, "some runs")  # noqa: B023 - called in this turn of the loop only
            pid = shop.pool.pid(victim)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)  # it is no child of this process: the supervisor's
            await shop.recorder.lost(kill + 1)
            await shop.recorder.ready(kill + 3)
        last = shop.send("noop"), shop.send("noop", slot="worker-2")
        for key in last:
            await shop.recorder.outcome(key)
        ended = [call[2] for call in shop.recorder.of("finished")]
        lost = [key for call in shop.recorder.of("lost") for key in call[2]]
        unbegun = [key for call in shop.recorder.of("lost") for key in call[3]]
        assert sorted(ended + lost + unbegun) == sorted([*sent, *last])
        begun = [call[2] for call in shop.recorder.of("begun")]
        assert sorted(begun) == sorted(ended + lost)
        print(f"{len(ended)} finished, {len(lost)} lost, {len(unbegun)} never begun")


async def test_not_ready_while_modules_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot is ready when its modules are loaded; what was sent before waits, and can be recalled."""
    monkeypatch.setenv("IMPORT_GATE", str(tmp_path / "gate"))
    modules = ("work.gated_import", "work.pool_jobs")
    async with workshop(tmp_path, modules=modules, ready=False) as shop:
        recalled = shop.send("noop")
        assert shop.pool.recall("worker-1") == [recalled]
        key = shop.send("noop")
        await fact(lambda: shop.pool.pid("worker-1"), "the child")
        assert not shop.recorder.calls
        (tmp_path / "gate").touch()
        await shop.recorder.outcome(key)
        assert [call[0] for call in shop.recorder.calls] == ["ready", "begun", "finished"]


async def test_a_module_that_ends_the_process_is_tried_ever_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss says why the child could not start; the waits double; it is ready once the module
    loads.
    """
    monkeypatch.setenv("IMPORT_GATE", str(tmp_path / "gate"))
    modules = ("work.falling_import", "work.pool_jobs")
    async with workshop(tmp_path, modules=modules, ready=False) as shop:
        assert await shop.recorder.lost(3) == (
            "lost",
            "worker-1",
            [],
            [],
            "exited with code 7 before it was ready: no gate",
        )
        first, second = shop.recorder.at[1] - shop.recorder.at[0], shop.recorder.at[2] - shop.recorder.at[1]
        assert first > 0.1
        assert second > 0.2
        (tmp_path / "gate").touch()
        await shop.recorder.ready(1)
        assert (await shop.run("noop")).error is None


async def test_an_idle_child_that_dies_is_replaced(tmp_path: Path) -> None:
    """A child killed between runs is a loss of no run."""
    async with workshop(tmp_path) as shop:
        await shop.run("noop")
        shop.pool.kill("worker-1")
        assert await shop.recorder.lost() == ("lost", "worker-1", [], [], "killed by signal 9 (SIGKILL)")
        await shop.recorder.ready(2)
        assert shop.pool.counters() == {"children": 1, "restarts": 1, "runs": 1}


@pytest.mark.parametrize("how", ["return", "raise", "exit", "stay"])
async def test_the_workspace_goes_at_any_end(tmp_path: Path, how: str) -> None:
    """A workspace with a read-only directory and a tree too deep for a path is removed, whoever has
    to do it.
    """
    async with workshop(tmp_path) as shop:
        key = shop.send("workspace", path=tmp_path / "path", how=how)
        path = Path(await note_of(tmp_path / "path"))
        assert path == tmp_path / "workspaces" / f"{key.job_id}-1"
        if how in ("return", "raise"):
            outcome = await shop.recorder.outcome(key)
            assert (outcome.error is None) == (how == "return")
            assert path not in remaining(path.parent)
        else:
            if how == "stay":
                shop.pool.kill("worker-1")
            await shop.recorder.lost()
        await fact(lambda: not remaining(path.parent), "the removal of the workspace")


def test_a_removal_that_was_killed_is_taken_up(tmp_path: Path) -> None:
    """A workspace that its child had half removed when it was killed is removed to the end, its bin
    too.
    """
    path = tmp_path / "job-0-1"
    for place in ("job-0-1.bin/0/left", "job-0-1.bin/7", "job-0-1/anew"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "file").write_text("x")
    assert workspace.remove(path)
    assert not remaining(tmp_path)
    (tmp_path / "job-0-1.bin").mkdir()
    assert workspace.remove(path)
    assert not remaining(tmp_path)


async def test_200_runs_leave_nothing_behind(tmp_path: Path) -> None:
    """Descriptors, threads and zombies are as before, in this process and in the child."""
    async with workshop(tmp_path, size=1) as shop:
        await shop.run(
            "write"
        )  # what is printed first starts a thread of the worker's own, for its whole life
        before = await shop.run("worker")
        own = open_fds()
        for number in range(200):
            if number % 10:
                await shop.run("noop")
            else:
                await shop.run("write")
                await shop.run("echo", text="x" * 100_000)
        assert await shop.run("worker") == before
        assert open_fds() == own
        await shop.run("grandchildren", pids=tmp_path / "pids")
        assert not children_of(shop.pool.pid("worker-1"))


async def test_close_leaves_nothing_behind(tmp_path: Path) -> None:
    """After close no process and no descriptor of the pool is left, whatever was running; every
    slot is lost.
    """
    own = open_fds()
    for _ in range(3):
        async with workshop(tmp_path, size=3) as shop:
            key, pid = await shop.started("stubborn")
            shop.send("grandchildren", slot="worker-2", pids=tmp_path / "pids", stay=True)
            pids = [int(text) for text in (await note_of(tmp_path / "pids")).split()]
            (tmp_path / "pids").unlink()
            behind = shop.send("noop")
            supervisor = shop.pool.supervisor_pid
        assert shop.recorder.lost_slot("worker-1") == ([key], [behind], "killed when the pool was closed")
        assert len(shop.recorder.of("lost")) == 3
        assert not alive(*pids, pid, supervisor)
        assert open_fds() == own
