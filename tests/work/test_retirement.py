"""A worker that a run has left unfit for the next one is replaced: no answer and no word of one job
reaches another.
"""

import logging
from pathlib import Path

import pytest
from work.pool_support import workshop


@pytest.mark.parametrize("how", ["sleep", "interrupt", "alarm"])
async def test_a_run_cut_off_by_a_signal_is_the_last_of_its_worker(tmp_path: Path, how: str) -> None:
    """A lock that was held when the signal came dies with its process, and the run behind has a new
    one.
    """
    async with workshop(tmp_path) as shop:
        key, pid = await shop.started("locked", how=how)
        behind = shop.send("locked")
        if how == "sleep":
            shop.pool.terminate("worker-1", key)
        await shop.recorder.outcome(key)
        assert (await shop.recorder.outcome(behind)).result != str(pid)
        assert not shop.recorder.of("lost")


async def test_a_stop_taken_at_the_context_keeps_the_worker(tmp_path: Path) -> None:
    """A job that ends at a call of its context has left its `with` blocks in good order: its worker
    goes on.
    """
    async with workshop(tmp_path) as shop:
        key, pid = await shop.started("locked", how="look")
        shop.pool.flag_stop("worker-1", key, "now")
        assert (await shop.recorder.outcome(key)).aborted
        assert (await shop.run("locked")).result == str(pid)


async def test_a_stop_that_cancels_other_coroutines_is_the_last_of_its_worker(tmp_path: Path) -> None:
    """A stop that one coroutine takes at the context cuts off the others of its group; alone it
    harms nobody.
    """
    async with workshop(tmp_path) as shop:
        pids = []
        for tasks in (2, 0, 0):
            key, pid = await shop.started("grouped", tasks=tasks)
            pids.append(pid)
            shop.pool.flag_stop("worker-1", key, "now")
            assert (await shop.recorder.outcome(key)).aborted
        assert pids[0] != pids[1]
        assert not shop.recorder.of("lost")


@pytest.mark.parametrize("how", ["threading", "low", "lazy-unsaid"])
async def test_what_a_left_thread_says_is_nobody_elses(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that leaves a thread ends with its process; the next runs have another, and none of the
    thread's words.
    """
    async with workshop(tmp_path) as shop:
        pids = set()
        for _ in range(3):
            first, second = shop.send("leave-threads", how=how), shop.send("nap")
            result = (await shop.recorder.outcome(first)).result
            assert result is not None
            pids.add(int(result))
            await shop.recorder.outcome(second)
            assert shop.recorder.texts(second) == []
        assert len(pids) == 3
        assert not shop.recorder.of("lost")
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 1, "once for the type"
    assert lines[0].startswith("runs of leave-threads leave threads (")


@pytest.mark.parametrize("how", ["eager", "lazy", "short"])
async def test_threads_that_are_not_left_keep_the_worker(tmp_path: Path, how: str) -> None:
    """A thread of a resource, started when that was made or by one that says so, and one that ends
    at once, harm nobody.
    """
    async with workshop(tmp_path) as shop:
        first, second = [(await shop.run("leave-threads", how=how)).result for _ in range(2)]
        assert first == second
