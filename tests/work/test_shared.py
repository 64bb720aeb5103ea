"""Runs that share a child: each begins, speaks, stops and ends for itself."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from work.pool_support import Workshop, alive, fact, note_of, workshop
from work.shared_jobs import there

from headrace_server.work.executor import RunKey


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A pool of one child."""
    async with workshop(tmp_path, modules=("work.shared_jobs",)) as opened:
        yield opened


async def test_runs_of_a_type_are_in_one_child_at_once(shop: Workshop, tmp_path: Path) -> None:
    """Ten runs wait for each other in one process, which then runs others as before."""
    keys = [shop.send("shared", do="meet", arrived=tmp_path / "here", count=10) for _ in range(10)]
    results = {(await shop.recorder.outcome(key)).result for key in keys}
    assert results == {str(shop.pool.pid("worker-1"))}
    assert (await shop.run("plain")).result in results
    assert shop.recorder.concurrency["shared"] == 10
    assert "plain" not in shop.recorder.concurrency
    assert not shop.recorder.of("closing")


async def begun(shop: Workshop, tmp_path: Path, name: str, **more: object) -> tuple[RunKey, Path]:
    """A run that waits for a gate of its own."""
    gate = tmp_path / f"gate-{name}"
    key, _pid = await shop.started("shared", do="gated", gate=gate, **more)
    return key, gate


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("fails", "ValueError"),
        ("leaves", "SystemExit"),
        ("interrupts", "KeyboardInterrupt"),
        ("leaves_in_a_task", "SystemExit"),
    ],
)
async def test_one_fails_alone(shop: Workshop, tmp_path: Path, how: str, kind: str) -> None:
    """What a run raises, to end the process even, is its own failure; others go on in the process."""
    other, other_gate = await begun(shop, tmp_path, "other")
    key, gate = await begun(shop, tmp_path, "it", how=how)
    gate.touch()
    error = (await shop.recorder.outcome(key)).error
    assert error is not None
    assert error.type.endswith(kind)
    pid = shop.pool.pid("worker-1")
    other_gate.touch()
    assert (await shop.recorder.outcome(other)).result == "1"
    assert shop.pool.pid("worker-1") == pid


async def test_one_is_stopped_alone(shop: Workshop, tmp_path: Path) -> None:
    """A flag cancels one run, which cleans up; its child takes nothing new, lets the other end, and
    is followed by another.
    """
    other, gate = await begun(shop, tmp_path, "other")
    key, pid = await shop.started("shared", do="tidy", done=tmp_path / "done")
    shop.pool.flag_stop("worker-1", key, "enough")
    outcome = await shop.recorder.outcome(key)
    assert outcome.aborted
    assert outcome.stop_seen
    assert (tmp_path / "done").read_text() == "cleaned"
    await shop.recorder.until(lambda: shop.recorder.of("closing"), "it closes")
    assert shop.pool.pid("worker-1") == pid
    gate.touch()
    assert (await shop.recorder.outcome(other)).error is None
    await shop.recorder.ready(2)
    assert (await shop.run("plain")).result != str(pid)
    assert not shop.recorder.of("lost")


async def test_one_that_looks_for_its_stop_keeps_the_child(shop: Workshop) -> None:
    """A run that reads the flag ends by itself, with the reason; nothing was cut off, so the child
    stays.
    """
    key, pid = await shop.started("shared", do="attentive")
    shop.pool.flag_stop("worker-1", key, "enough")
    outcome = await shop.recorder.outcome(key)
    assert outcome.result == '"enough"'
    assert outcome.stop_seen
    assert (await shop.run("plain")).result == str(pid)


async def test_insisting_cancels_once_more(shop: Workshop) -> None:
    """A run that swallows the first cancellation gets another each time that it is terminated, and
    no signal reaches the process.
    """
    key, _pid = await shop.started("shared", do="stubborn", swallows=2)
    (started,) = shop.folder.glob("started-*")
    shop.pool.flag_stop("worker-1", key, "enough")
    for left in (2, 1):
        await note_at(started, left)
        shop.pool.terminate("worker-1", key)
    assert (await shop.recorder.outcome(key)).aborted
    assert not shop.recorder.of("lost")


async def note_at(started: Path, left: int) -> None:
    """Wait until a cancellation was swallowed."""
    await fact(Path(f"{started}-swallowed-{left}").exists, f"cancellation {left} is swallowed")


@pytest.mark.parametrize("how", ["to_thread", "executor", "thread"])
async def test_a_stop_counts_when_threads_have_ended(shop: Workshop, tmp_path: Path, how: str) -> None:
    """The end of a stopped run is said when the threads that work for it have ended, too."""
    other, other_gate = await begun(shop, tmp_path, "other")
    key, _pid = await shop.started("shared", do="threaded", gate=tmp_path / "gate", how=how)
    shop.pool.flag_stop("worker-1", key, "enough")
    await shop.recorder.until(lambda: shop.recorder.of("closing"), "its thread is waited for")
    assert not shop.recorder.of("finished", key)
    (tmp_path / "gate").touch()
    await shop.recorder.outcome(key)
    other_gate.touch()
    assert (await shop.recorder.outcome(other)).error is None
    assert shop.recorder.texts(key) == [f"from a thread of {key.job_id}"]
    assert not shop.recorder.of("lost")


async def test_a_thread_that_stays_goes_with_the_child(shop: Workshop, tmp_path: Path) -> None:
    """The last run of a child has left a thread: its end counts when the process is gone."""
    key, pid = await shop.started("shared", do="threaded", gate=tmp_path / "never", how="thread")
    assert (await shop.recorder.outcome(key)).result == '"left"'
    assert not alive(pid)
    await shop.recorder.ready(2)
    assert not shop.recorder.of("lost")


async def test_tasks_that_are_left_end_with_their_run(shop: Workshop, tmp_path: Path) -> None:
    """What a run has left on the loop is cancelled, and ends before the run does."""
    other, gate = await begun(shop, tmp_path, "other")
    key = shop.send("shared", do="leaver", cleaned=tmp_path / "cleaned")
    assert (await shop.recorder.outcome(key)).error is None
    assert (tmp_path / "cleaned").read_text() == key.job_id
    gate.touch()
    await shop.recorder.outcome(other)
    assert not shop.recorder.of("closing")


async def test_what_hangs_at_the_end_costs_the_child_alone(shop: Workshop) -> None:
    """A generator whose end waits for ever keeps no run from its end: its child is replaced."""
    outcome = await shop.run("shared", do="generator_leaver")
    assert outcome.error is None
    await shop.recorder.ready(2)
    assert (await shop.run("plain")).result != outcome.result
    assert not shop.recorder.of("lost")


async def test_one_that_cancels_all_harms_no_bookkeeping(shop: Workshop, tmp_path: Path) -> None:
    """A run that cancels every task there is ends the others, as failures that say so."""
    other, _gate = await begun(shop, tmp_path, "other")
    key, gate = await begun(shop, tmp_path, "it", how="cancels_all")
    gate.touch()
    error = (await shop.recorder.outcome(other)).error
    assert error is not None
    assert error.type.endswith("CancelledError")
    assert (await shop.recorder.outcome(key)).error is None
    assert (await shop.run("plain")).error is None


async def test_a_fork_is_no_second_worker(shop: Workshop, tmp_path: Path) -> None:
    """A process that a run has forked ends where it waits: it goes on with nobody's code."""
    other, other_gate = await begun(shop, tmp_path, "other")
    key, gate = await begun(shop, tmp_path, "it", how="forks")
    gate.touch()
    assert (await shop.recorder.outcome(key)).result == "1"
    assert not there(f"{gate}-forked")
    other_gate.touch()
    assert (await shop.recorder.outcome(other)).error is None


async def test_words_are_those_of_who_said_them(
    shop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines and messages of runs that take turns go to each its own, in order; what goes into a
    descriptor goes to nobody, and to the log.
    """
    keys = [
        shop.send("shared", do="talker", gate=tmp_path / "gate", arrived=tmp_path / "here") for _ in range(3)
    ]
    await fact(lambda: len(list(tmp_path.glob("here-*"))) == 3, "all are there")
    (tmp_path / "gate").touch()
    for key in keys:
        assert (await shop.recorder.outcome(key)).error is None
        words = ("prints", "says", "warns")
        expected = [f"{key.job_id} {word} {number}" for number in range(3) for word in words]
        assert shop.recorder.texts(key) == [*expected, "no end"]
    assert (await shop.run("plain")).error is None
    assert "a descriptor knows nobody" in caplog.text


async def test_a_flood_is_cut_as_elsewhere(tmp_path: Path) -> None:
    """Of a run that prints too much as much is kept as of one alone, and its lines are counted."""
    async with workshop(tmp_path, modules=("work.shared_jobs",)) as shop:
        key = shop.send("shared", do="flood", lines=20_000)
        assert (await shop.recorder.outcome(key)).error is None
        texts = shop.recorder.texts(key)
        assert "The output was cut here" in texts[-1]
        dropped = sum(call[4] for call in shop.recorder.of("logged", key))
        assert len(texts) - 1 + dropped == pytest.approx(20_000, abs=2)


async def test_processes_are_swept_when_the_child_is_empty(shop: Workshop, tmp_path: Path) -> None:
    """What a run has started and left ends when the last run of its child has ended."""
    other, other_gate = await begun(shop, tmp_path, "other")
    key, left = await shop.started("shared", do="child_leaver", gate=tmp_path / "gate")
    other_gate.touch()
    assert (await shop.recorder.outcome(other)).error is None
    assert alive(left)
    (tmp_path / "gate").touch()
    pid = int((await shop.recorder.outcome(key)).result or 0)
    assert (await shop.run("plain")).result == str(pid)
    assert not alive(left)


async def test_a_workspace_goes_with_its_run(shop: Workshop, tmp_path: Path) -> None:
    """The private folder of a run is removed at its end, while others go on."""
    other, other_gate = await begun(shop, tmp_path, "other")
    started, gate = tmp_path / "folder", tmp_path / "gate-room"
    key = shop.send("shared", do="room", started=started, gate=gate)
    folder = Path(await note_of(started))
    assert (folder / "file").exists()
    gate.touch()
    assert (await shop.recorder.outcome(key)).error is None
    assert not there(str(folder))
    other_gate.touch()
    assert (await shop.recorder.outcome(other)).error is None


async def test_the_death_of_the_child_is_that_of_all(shop: Workshop, tmp_path: Path) -> None:
    """os._exit in one run loses all that have begun, each by name; another child follows."""
    other, _gate = await begun(shop, tmp_path, "other")
    key, gate = await begun(shop, tmp_path, "it", how="ends_the_process")
    gate.touch()
    assert await shop.recorder.lost() == ("lost", "worker-1", [other, key], [], "exited with code 7")
    await shop.recorder.ready(2)
    assert (await shop.run("plain")).error is None


async def test_one_that_blocks_the_loop_is_named(
    shop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the job that keeps the loop, and where it stands; what waits begins later."""
    key, _pid = await shop.started("shared", do="blocker", gate=tmp_path / "gate")
    await fact(lambda: f"job {key.job_id} of type shared has kept the event loop" in caplog.text, "named")
    assert "shared_jobs.py" in caplog.text
    behind = shop.send("shared", do="blocker", started=tmp_path / "behind", gate=tmp_path / "gate")
    assert shop.pool.recall("worker-1") == [behind]
    (tmp_path / "gate").touch()
    assert (await shop.recorder.outcome(key)).error is None


async def test_a_child_that_leaves_lets_all_end(shop: Workshop, tmp_path: Path) -> None:
    """A child that is to be replaced takes nothing new; what was handed over goes to the next."""
    key, gate = await begun(shop, tmp_path, "it")
    pid = shop.pool.pid("worker-1")
    shop.pool.renew("worker-1", 0)
    await shop.recorder.until(lambda: shop.recorder.of("closing"), "it closes")
    behind = shop.send("shared", do="gated", started=tmp_path / "behind", gate=gate)
    gate.touch()
    assert (await shop.recorder.outcome(key)).error is None
    assert (await shop.recorder.outcome(behind)).error is None
    assert int((tmp_path / "behind").read_text()) != pid
    assert not shop.recorder.of("lost")


async def test_a_child_that_has_had_its_runs_is_replaced(tmp_path: Path) -> None:
    """The limit of runs for a child counts those that share it."""
    async with workshop(tmp_path, modules=("work.shared_jobs",), max_jobs_per_child=3) as shop:
        keys = [shop.send("shared", do="meet", arrived=tmp_path / "here", count=3) for _ in range(3)]
        for key in keys:
            assert (await shop.recorder.outcome(key)).error is None
        await shop.recorder.ready(2)


async def test_a_pool_of_fresh_children_shares_none(tmp_path: Path) -> None:
    """Where each run is to have a process of its own, a concurrency counts for nothing."""
    async with workshop(tmp_path, modules=("work.shared_jobs",), fresh=True) as shop:
        assert shop.recorder.concurrency == {}
        results = [
            (await shop.run("shared", do="meet", arrived=tmp_path / "here", count=1)).result for _ in range(2)
        ]
        assert len(set(results)) == 2


async def test_resources_are_made_once(shop: Workshop, tmp_path: Path) -> None:
    """Runs that share a child share its resources."""
    runs = [await begun(shop, tmp_path, f"{number}") for number in range(3)]
    for _key, gate in runs:
        gate.touch()
    assert {(await shop.recorder.outcome(key)).result for key, _gate in runs} == {"1"}


async def test_sigint_and_sigterm_hit_nobody(shop: Workshop, tmp_path: Path) -> None:
    """Signals from outside interrupt no run of a shared child: nobody knows whom they would hit."""
    key, gate = await begun(shop, tmp_path, "it")
    pid = shop.pool.pid("worker-1")
    assert pid is not None
    for number in (2, 15):
        os.kill(pid, number)
    gate.touch()
    assert (await shop.recorder.outcome(key)).error is None
    assert shop.pool.pid("worker-1") == pid
