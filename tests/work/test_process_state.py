"""What a job changes about its process is put back after it, or its worker is replaced."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from work.leftover_jobs import BENT, BENT_LONG, FOR_GOOD
from work.pool_support import Workshop, workshop

from headrace.values import decode
from headrace_server.domain.change import Outcome

AS_ROOT = {"user", "group"}


def value(outcome: Outcome) -> Any:
    """What a job has returned."""
    assert outcome.error is None, outcome.error
    assert outcome.result is not None
    return decode(json.loads(outcome.result))


async def different(shop: Workshop, hows: list[str], straight: dict[str, Any]) -> dict[str, Any]:
    """What the job behind each of these finds otherwise than the first did."""
    found = {}
    for how in hows:
        bent, behind = shop.send("bend", how=how), shop.send("look")
        await shop.recorder.outcome(bent)
        seen = value(await shop.recorder.outcome(behind))
        if wrong := {name: (straight[name], seen[name]) for name in straight if seen[name] != straight[name]}:
            found[how] = wrong
    return found


async def test_what_a_run_bends_the_next_finds_straight(tmp_path: Path) -> None:
    """Timers, signals, limits, identity, environment, streams, settings: the next job, in the same
    worker, finds none of it.
    """
    hows = [how for how in (*BENT, *BENT_LONG) if os.getuid() == 0 or how not in AS_ROOT]
    async with workshop(tmp_path, modules=["work.leftover_jobs"]) as shop:
        straight = value(await shop.run("look"))
        assert await different(shop, hows, straight) == {}
        assert not shop.recorder.of("lost")


@pytest.mark.parametrize("how", FOR_GOOD)
async def test_what_cannot_be_put_back_ends_the_worker(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The run keeps its result, the next job has another process, and the log names the type and
    the thing.
    """
    async with workshop(tmp_path, modules=["work.leftover_jobs"]) as shop:
        pid = value(await shop.run("bend", how=how))
        assert value(await shop.run("look"))["pid"] != pid
        assert not shop.recorder.of("lost")
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.startswith("runs of bend leave ") for line in lines] == [True]


async def test_what_changes_while_a_resource_is_made_stays(tmp_path: Path) -> None:
    """The variable that a resource has set is there for the next job, the one that the job has set
    is not.
    """
    async with workshop(tmp_path, modules=["work.leftover_jobs"]) as shop:
        for other in ("one", "two"):
            assert value(await shop.run("use-setting", other=other)) == {
                "names": [f"OTHER_{other}"],
                "own": "1",
            }
        assert len(shop.recorder.of("ready")) == 1
