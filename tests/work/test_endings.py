"""The end of a run is reported, whatever the job did to its streams and whatever it raises."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from work.pool_support import Workshop, workshop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A pool of one worker with the jobs that behave badly, and one with good manners."""
    async with workshop(tmp_path, modules=["work.rude_jobs", "work.pool_jobs"]) as made:
        yield made


async def test_no_state_of_the_streams_ends_a_worker(shop: Workshop) -> None:
    """A job that bends its streams ends with its result; the next one of the same worker prints as
    if it had not been.
    """
    hows = (
        "closed",
        "detached",
        "buffer detached",
        "deleted",
        "none",
        "rude",
        "loop",
        "encoding",
        "descriptors",
    )
    for how in hows:
        key = shop.send("bend-streams", how=how)
        assert (await shop.recorder.outcome(key)).result == '"done"', how
        assert shop.recorder.texts(key)[0] == "said before", how
        after = shop.send("speak", word="äß-1")
        await shop.recorder.outcome(after)
        assert shop.recorder.texts(after) == ["äß-1", "äß-1"], how
    assert not shop.recorder.of("lost")


@pytest.mark.parametrize(
    ("how", "type_", "words"),
    [
        ("silent", "work.rude_jobs.SilentError", "without words"),
        ("hidden", "work.rude_jobs.HiddenError", "cannot be described"),
        ("untraced", "work.rude_jobs.UntracedError", "words"),
        ("nameless", "NamelessError", "words"),
        ("group", "work.rude_jobs.EmptyGroupError", "group (1 sub-exception)"),
        ("abort", "headrace.jobs.DeclaredAbort", "cannot be described"),
        ("deep", "ExceptionGroup", "deeper"),
        ("chained", "ValueError", "19999"),
        ("recursion limit", "ValueError", "low"),
    ],
)
async def test_no_exception_ends_a_worker(shop: Workshop, how: str, type_: str, words: str) -> None:
    """What a job raises is the error of that job, and the worker goes on."""
    error = (await shop.run("raise-badly", how=how)).error
    assert error is not None
    assert error.type == type_
    assert words in error.message
    assert (await shop.run("noop")).error is None
    assert not shop.recorder.of("lost")


async def test_what_was_declared_is_found_in_a_deep_group(shop: Workshop) -> None:
    """ctx.fail counts in a group of any depth."""
    error = (await shop.run("raise-badly", how="declared")).error
    assert error is not None
    assert error.code == "deep"
