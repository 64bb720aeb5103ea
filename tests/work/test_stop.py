"""The stop escalation as far as the pool carries it: flag, SIGTERM, SIGKILL."""

from pathlib import Path

import pytest
from work.pool_support import Witness, alive, fact, note_of, workshop


async def test_flag_reaches_the_code_with_its_reason(tmp_path: Path) -> None:
    """ctx.stop_requested turns true, and the reason is there, cut to what the page holds."""
    async with workshop(tmp_path) as shop:
        key, _pid = await shop.started("polite")
        reason = "enough " + "ü" * 1000
        shop.pool.flag_stop("worker-1", key, reason)
        outcome = await shop.recorder.outcome(key)
        assert outcome.stop_seen
        assert outcome.result is not None
        text = outcome.result.strip('"')
        assert len(text) > 400
        assert reason.startswith(text)


async def test_flag_is_for_one_run(tmp_path: Path) -> None:
    """Neither the next run of the child nor a run of another job with the same claim sees the flag."""
    async with workshop(tmp_path) as shop:
        for _ in range(20):
            key, _pid = await shop.started("polite")
            shop.pool.flag_stop("worker-1", key, "now")
            after = shop.send("worker")
            assert (await shop.recorder.outcome(key)).stop_seen
            shop.pool.flag_stop("worker-1", key, "too late")
            assert not (await shop.recorder.outcome(after)).stop_seen


@pytest.mark.parametrize("type_name", ["sleeper", "async-sleeper"])
async def test_sigterm_raises_in_code_that_does_not_look(tmp_path: Path, type_name: str) -> None:
    """A job that never uses its context ends by JobStopped; what it was using dies with its child,
    and another follows.
    """
    async with workshop(tmp_path) as shop:
        key, pid = await shop.started(type_name)
        shop.pool.flag_stop("worker-1", key, "now")
        shop.pool.terminate("worker-1", key)
        outcome = await shop.recorder.outcome(key)
        assert outcome.stop_seen
        assert outcome.aborted
        assert str(pid) not in ((await shop.run("worker")).result or "")
        assert not shop.recorder.of("lost")


async def test_late_sigterm_does_nothing(tmp_path: Path) -> None:
    """SIGTERM for a run that has ended leaves the next one alone, however it is sent."""
    async with workshop(tmp_path) as shop:
        for _ in range(50):
            first = shop.send("noop")
            second = shop.send("worker")
            shop.pool.terminate("worker-1", first)
            assert (await shop.recorder.outcome(second)).error is None
        assert not shop.recorder.of("lost")


async def test_sigterm_is_not_enough_for_c_code_and_sigkill_is(tmp_path: Path) -> None:
    """A loop in C code outlives flag and SIGTERM; SIGKILL ends it, and the slot is ready again
    (failure case 4).
    """
    async with workshop(tmp_path) as shop:
        key, pid = await shop.started("stubborn")
        shop.pool.flag_stop("worker-1", key, "now")
        shop.pool.terminate("worker-1", key)
        shop.pool.kill("worker-1")
        assert await shop.recorder.lost() == ("lost", "worker-1", [key], [], "killed by signal 9 (SIGKILL)")
        assert not alive(pid)
        await shop.recorder.ready(2)
        assert (await shop.run("noop")).error is None


async def test_no_process_outlives_its_run(tmp_path: Path) -> None:
    """Sessions of their own, orphans of orphans and an empty environment: all are gone when the run
    has ended (failure case 5).
    """
    async with workshop(tmp_path) as shop:
        key = shop.send("grandchildren", pids=tmp_path / "pids")
        pids = [int(pid) for pid in (await note_of(tmp_path / "pids")).split()]
        await shop.recorder.outcome(key)
        assert not alive(*pids)
        assert not shop.recorder.of("lost")


async def test_no_process_outlives_a_kill(tmp_path: Path) -> None:
    """slot_lost comes when the child is dead and everything below it too (failure case 5)."""
    async with workshop(tmp_path) as shop:
        key = shop.send("grandchildren", pids=tmp_path / "pids", stay=True)
        pids = [int(pid) for pid in (await note_of(tmp_path / "pids")).split()]
        witness = Witness(*pids)
        shop.pool.kill("worker-1")
        assert (await shop.recorder.lost())[2] == [key]
        assert not witness.alive()
        witness.close()
        await fact(lambda: not list((tmp_path / "workspaces").iterdir()), "the removal of the workspace")


async def test_threads_of_a_stopped_run_end_with_their_process(tmp_path: Path) -> None:
    """A stopped run that leaves a thread is finished only when its process is gone; the slot is not
    lost.
    """
    async with workshop(tmp_path) as shop:
        key, pid = await shop.started("threaded")
        witness = Witness(pid)
        behind = shop.send("worker")
        shop.pool.flag_stop("worker-1", key, "now")
        assert (await shop.recorder.outcome(key)).stop_seen
        assert not witness.alive()
        witness.close()
        assert (await shop.recorder.outcome(behind)).error is None
        assert not shop.recorder.of("lost")
