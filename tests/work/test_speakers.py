"""Output belongs to the run that made it, or to none."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from work.pool_support import Workshop, workshop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A pool of one worker, in which a thread of a module speaks all the time."""
    async with workshop(tmp_path, modules=["work.chatty_jobs"]) as made:
        yield made


async def test_threads_of_modules_and_resources_speak_for_no_run(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    """What they print is no message of any job, and cuts none of its lines; the log names each
    thread once.
    """
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            key = shop.send("beside")
            await shop.recorder.outcome(key)
            assert "".join(shop.recorder.texts(key)) == "radio is on" + "half whole" * 5
    lines = [
        record.getMessage() for record in caplog.records if "the output of no job" in record.getMessage()
    ]
    assert sorted(line.split()[2] for line in lines) == ["of-a-module", "of-a-resource"]
    assert len(shop.recorder.of("ready")) == 1


async def test_threads_that_work_for_a_run_speak_for_it(shop: Workshop) -> None:
    """What a job's own threads print, and what it gives to an executor or a loop that is kept, is
    its output, in each job.
    """
    for _ in range(3):
        key = shop.send("by-hands")
        await shop.recorder.outcome(key)
        assert shop.recorder.texts(key) == ["own thread", "own executor", "kept executor", "kept loop"]
    assert len(shop.recorder.of("ready")) == 1


@pytest.mark.parametrize("long", [False, True])
async def test_finalizers_speak_for_the_run_that_left_them(shop: Workshop, long: bool) -> None:
    """What is left to the garbage collector is collected at the end of its run, and not in the next
    one.
    """
    for number in range(3):
        key, behind = shop.send("leave-garbage", word=str(number), long=long), shop.send("collect")
        await shop.recorder.outcome(behind)
        assert sorted(shop.recorder.texts(key)) == [f"{number} deleted", f"{number} finalized"]
        assert shop.recorder.texts(behind) == []
