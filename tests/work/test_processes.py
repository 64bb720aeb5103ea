"""Processes inside jobs: they behave as in any program, in the first job of a worker and in the
later ones.
"""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from work.pool_support import Workshop, workshop

SHARED = Path("/dev/shm")  # noqa: S108 - where the kernel keeps it


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A pool of one worker with the jobs that start processes."""
    async with workshop(tmp_path, modules=["work.process_jobs"]) as made:
        yield made


async def value(shop: Workshop, type_name: str, **parameters: Any) -> Any:
    """What a job returns."""
    outcome = await shop.run(type_name, **parameters)
    assert outcome.error is None, outcome.error
    return json.loads(outcome.result or "null")


async def test_terminate_ends_a_fork(shop: Workshop) -> None:
    """A forked process dies of SIGTERM, however soon after the fork it comes."""
    assert await value(shop, "terminate", rounds=50) == [-15] * 50


async def test_a_stop_reaches_a_job_that_forks(shop: Workshop) -> None:
    """SIGTERM interrupts a job that forks all the time, also where it comes in the middle of a
    fork.
    """
    for _ in range(6):
        key, _pid = await shop.started("fork-always")
        shop.pool.terminate("worker-1", key)
        assert (await shop.recorder.outcome(key)).stop_seen


async def test_pools_are_left_while_they_work(shop: Workshop) -> None:
    """A pool of forks that still works ends with its block."""
    assert await value(shop, "leave-pools", rounds=10) == 10


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
async def test_every_start_method_in_every_job(shop: Workshop, method: str) -> None:
    """Pools and executors of each start method work in the first, second and third job, and say
    nothing.
    """
    for _ in range(3):
        key = shop.send("pool", method=method)
        assert (await shop.recorder.outcome(key)).result == "19"
        assert shop.recorder.texts(key) == []


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [("return", 0, ""), ("3", 3, ""), ("over", 1, "over"), ("raise", 1, "ValueError")],
)
async def test_a_fork_ends_as_a_program_does(shop: Workshop, how: str, code: int, words: str) -> None:
    """A fork that comes back from the job has the exit code of a program, says why, and has its
    messages told.
    """
    key = shop.send("fork-and-end", how=how)
    assert (await shop.recorder.outcome(key)).result == str(code)
    texts = shop.recorder.texts(key)
    assert "from the fork" in texts
    assert any(words in text for text in texts)


async def test_shared_memory_goes_with_its_job(shop: Workshop) -> None:
    """What a job leaves in /dev/shm is unlinked at its end, also where a program that it started
    has made it.
    """
    for type_name in ("share", "share-below", "share"):
        name = await value(shop, type_name, **({"end": "return"} if type_name == "share" else {}))
        assert not (SHARED / name.lstrip("/")).exists()


async def test_shared_memory_goes_with_a_worker_that_dies(shop: Workshop) -> None:
    """So is what a job leaves that takes its worker with it."""
    key = shop.send("share", end="exit")
    await shop.recorder.lost()
    name = json.loads(shop.recorder.of("result_set", key)[0][4])
    assert not (SHARED / name.lstrip("/")).exists()


async def test_a_process_that_was_kept_is_known_to_be_dead(shop: Workshop) -> None:
    """A Popen and a Process kept in a module have been killed at the end of their job, know it, and
    the job was told.
    """
    key = shop.send("keep")
    assert (await shop.recorder.outcome(key)).result == "[]"
    [text] = shop.recorder.texts(key)
    assert "have ended with it" in text
    assert "sleep" in text
    assert await value(shop, "keep") == [-9, -9]


async def test_an_executor_that_was_kept_says_so(shop: Workshop) -> None:
    """An executor kept as a resource works in one job, and in the next says what has become of its
    processes.
    """
    assert await value(shop, "kept-executor") == 9
    error = (await shop.run("kept-executor")).error
    assert error is not None
    assert "BrokenProcessPool" in error.type
    assert "Make it in the job that uses it" in error.message


async def test_what_modules_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that a module starts ends before the first job, and the log says so; its named lock
    serves all jobs.
    """
    with caplog.at_level(logging.WARNING):
        async with workshop(tmp_path, modules=["work.processes_at_import"]) as shop:
            assert await value(shop, "side") == -9
            assert [await value(shop, "lock") for _ in range(3)] == [0, 0, 0]
    assert "sleep" in caplog.text
