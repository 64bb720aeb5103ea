"""Children that are replaced in good order: no run is lost, doubled or late."""

from pathlib import Path

import pytest
from work.pool_support import workshop

pytestmark = pytest.mark.slow


async def test_after_its_number_of_runs_a_child_is_replaced(tmp_path: Path) -> None:
    """A backlog longer than a child's number of runs is run to its end, in order, each once;
    nothing is lost.
    """
    async with workshop(tmp_path, max_jobs_per_child=10) as shop:
        keys = [shop.send("append", path=tmp_path / "order") for _ in range(95)]
        await shop.recorder.outcome(keys[-1])
        assert (tmp_path / "order").read_text().split() == [key.job_id for key in keys]
        assert not shop.recorder.of("lost")
        assert len(shop.recorder.of("ready")) == 10
        assert shop.pool.counters() == {"children": 1, "restarts": 9, "runs": 95}


async def test_runs_can_be_recalled_while_the_child_is_replaced(tmp_path: Path) -> None:
    """While no child is there, recall gives what waits for the next one, in order."""
    async with workshop(tmp_path, max_jobs_per_child=1) as shop:
        recalled = []
        run = []
        for _ in range(30):
            first, *behind = [shop.send("noop") for _ in range(5)]
            await shop.recorder.outcome(first)
            back = list(shop.pool.recall("worker-1"))
            assert back == behind[len(behind) - len(back) :]
            recalled += back
            run += [first, *behind[: len(behind) - len(back)]]
            last = shop.send("noop")
            await shop.recorder.outcome(last)
            run.append(last)
        assert [call[2] for call in shop.recorder.of("finished")] == run
        assert recalled
        assert not shop.recorder.of("lost")


async def test_a_child_that_has_grown_is_replaced(tmp_path: Path) -> None:
    """After a run that leaves too much memory the next run has another process."""
    async with workshop(tmp_path, max_memory_bytes=70 << 20) as shop:
        first = (await shop.run("worker")).result
        assert (await shop.run("worker")).result == first
        grown = await shop.run("hog")
        after = (await shop.run("worker")).result
        assert grown.error is None
        assert after != first
        assert not shop.recorder.of("lost")


async def test_a_child_killed_while_it_retires_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL at the moment of a replacement costs no run: each is finished, or told as lost or
    never begun.
    """
    async with workshop(tmp_path, max_jobs_per_child=1) as shop:
        keys = []
        for _ in range(40):
            some = [shop.send("noop") for _ in range(3)]
            keys += some
            await shop.recorder.outcome(some[0])
            shop.pool.kill("worker-1")
            known = len(keys)
            await shop.recorder.until(
                lambda: (
                    len(shop.recorder.of("finished"))
                    + sum(len(call[3]) + len(call[2]) for call in shop.recorder.of("lost"))
                    == known  # noqa: B023 - called in this turn of the loop only
                ),
                "the end of all",
            )
        ended = [call[2] for call in shop.recorder.of("finished")]
        lost = [key for call in shop.recorder.of("lost") for key in (*call[3], *call[2])]
        assert sorted(ended + lost) == sorted(keys)
