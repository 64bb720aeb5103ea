"""Runs from send to finished: order, values, reports, recall."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from work.pool_support import Workshop, workshop


def value(text: str | None) -> Any:
    """A result, where its plain form is plain JSON, or a map of such."""
    plain = json.loads(text or "null")
    return plain["v"] if isinstance(plain, dict) and plain.get("$") == "map" else plain


async def test_run_and_finish(tmp_path: Path) -> None:
    """A run is begun, then finished with the result that its code returned."""
    async with workshop(tmp_path) as shop:
        key = shop.send("echo", text="hällo", number=3)
        outcome = await shop.recorder.outcome(key)
        assert value(outcome.result) == {"text": "hällo", "number": 3}
        assert outcome.error is None
        assert outcome.confirmed
        assert [call[0] for call in shop.recorder.calls] == ["ready", "begun", "finished"]


async def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    """A run of a type that the child has not loaded is given back without having begun, and the
    next one runs.
    """
    async with workshop(tmp_path) as shop:
        (ready,) = shop.recorder.of("ready")
        assert "quick" not in ready[2]
        assert ready[3] == {}
        key = shop.send("nowhere")
        await shop.recorder.until(lambda: shop.recorder.of("refused", key), "it is refused")
        assert not shop.recorder.of("begun", key)
        assert (await shop.run("echo", text="x", number=1)).error is None


async def test_a_slot_is_renewed(tmp_path: Path) -> None:
    """A slot that is renewed does first what it was handed, is not lost, and gets a child that
    loads anew.
    """
    async with workshop(tmp_path) as shop:
        before = shop.pool.pid("worker-1")
        first = shop.send("append", path=tmp_path / "order")
        shop.pool.renew("worker-1", time.monotonic())
        second = shop.send("append", path=tmp_path / "order")
        assert (await shop.recorder.outcome(first)).error is None
        assert (await shop.recorder.outcome(second)).error is None
        assert len(shop.recorder.of("ready")) == 2
        assert shop.recorder.of("lost") == []
        assert shop.pool.pid("worker-1") != before
        shop.pool.renew("worker-1", time.monotonic())
        shop.pool.recall("worker-1")
        assert (await shop.run("append", path=tmp_path / "order")).error is None


async def test_backlog_keeps_its_order(tmp_path: Path) -> None:
    """Runs handed over together begin one after the other, in that order."""
    async with workshop(tmp_path) as shop:
        keys = [shop.send("append", path=tmp_path / "order") for _ in range(300)]
        await shop.recorder.outcome(keys[-1])
        assert (tmp_path / "order").read_text().split() == [key.job_id for key in keys]
        kinds = [(call[0], call[2]) for call in shop.recorder.calls if call[0] in ("begun", "finished")]
        assert kinds == [(kind, key) for key in keys for kind in ("begun", "finished")]


async def test_recall_of_a_busy_child_takes_everything_behind_the_run(tmp_path: Path) -> None:
    """What waits behind a run is taken back at once, also what found no room in the socket, and
    never begins.
    """
    async with workshop(tmp_path) as shop:
        first, _pid = await shop.started("gate", path=tmp_path / "go")
        behind = [shop.send("echo", text="x" * 5000) for _ in range(300)]
        start = time.monotonic()
        assert shop.pool.recall("worker-1") == behind
        print(f"recall of {len(behind)} runs: {(time.monotonic() - start) * 1000:.2f} ms")
        assert shop.pool.recall("worker-1") == []
        (tmp_path / "go").touch()
        last = shop.send("noop")
        await shop.recorder.outcome(last)
        assert [call[2] for call in shop.recorder.of("begun")] == [first, last]


@pytest.mark.slow
async def test_recall_races_the_child_for_every_frame(tmp_path: Path) -> None:
    """Of many frames recalled while the child takes them, each is recalled or run: none both, none
    neither.
    """
    async with workshop(tmp_path) as shop:
        recalled: set[Any] = set()
        sent: set[Any] = set()
        for burst in range(400):
            sent.update(shop.send("noop") for _ in range(10))
            for _ in range(burst % 8):  # the child comes into it at another moment each time
                await asyncio.sleep(0.0001)
            recalled.update(shop.pool.recall("worker-1"))
        await shop.recorder.until(
            lambda: len(shop.recorder.of("finished")) + len(recalled) == len(sent), "the end of all"
        )
        run = {call[2] for call in shop.recorder.of("finished")}
        assert run | recalled == sent
        assert not run & recalled
        assert run
        assert recalled
        print(f"of {len(sent)} frames {len(run)} were run and {len(recalled)} recalled")


async def test_large_parameters_and_results(tmp_path: Path) -> None:
    """Texts of a megabyte travel both ways, and can be recalled."""
    async with workshop(tmp_path) as shop:
        text = "ä" * 500_000
        outcome = await shop.run("echo", text=text)
        assert value(outcome.result) == {"text": text}
        await shop.started("gate", path=tmp_path / "go")
        big = [shop.send("echo", text=text) for _ in range(3)]
        assert shop.pool.recall("worker-1") == big


async def test_reports_are_thinned_out_and_complete(tmp_path: Path) -> None:
    """A hundred thousand steps give few reports, the last before the end always; messages and
    results all come.
    """
    async with workshop(tmp_path) as shop:
        steps = 100_000
        start = time.monotonic()
        key = shop.send("report", steps=steps)
        await shop.recorder.outcome(key)
        took = time.monotonic() - start
        reports = [call[3] for call in shop.recorder.of("progressed", key)]
        assert reports[-1].done == reports[-1].total == steps
        assert len(reports) <= took / 0.05 + 3
        assert shop.recorder.texts(key) == [f"message {number}" for number in range(100)]
        assert shop.recorder.of("result_set", key) == [
            ("result_set", "worker-1", key, "half", str(steps // 2))
        ]
        kinds = [call[0] for call in shop.recorder.calls]
        assert kinds[-1] == "finished"
        print(f"{steps / took:,.0f} steps a second, {len(reports)} reports")


async def test_the_last_report_does_not_wait_for_the_next(tmp_path: Path) -> None:
    """Progress and a message held back by the rate come while the job is silent."""
    async with workshop(tmp_path) as shop:
        key = shop.send("pending", seen=tmp_path / "seen")
        await shop.recorder.until(
            lambda: [call for call in shop.recorder.of("progressed", key) if call[3].done == 2], "progress 2"
        )
        await shop.recorder.until(lambda: "last words" in shop.recorder.texts(key), "the message")
        assert not shop.recorder.of("finished")
        (tmp_path / "seen").touch()
        await shop.recorder.outcome(key)


async def test_a_fork_that_returns_is_no_second_child(tmp_path: Path) -> None:
    """A process that a job has forked and let return takes no runs and reports no end."""
    async with workshop(tmp_path) as shop:
        keys = [shop.send("fork") for _ in range(5)]
        await shop.recorder.outcome(keys[-1])
        assert [call[2] for call in shop.recorder.of("finished")] == keys


@pytest.fixture
async def spoilt(tmp_path: Path) -> Any:
    """A pool whose child has run a job that bent its surroundings."""
    async with workshop(tmp_path) as shop:
        await shop.run("spoil")
        yield shop


async def test_a_job_finds_its_surroundings_straight(spoilt: Workshop) -> None:
    """Streams, working directory and SIGTERM are put back after a job that closed, left and ignored
    them.
    """
    key = spoilt.send("write")
    await spoilt.recorder.outcome(key)
    assert "print" in spoilt.recorder.texts(key, 2)
    assert spoilt.recorder.texts(key, 3) == ["error"]
    key, _pid = await spoilt.started("sleeper")
    spoilt.pool.terminate("worker-1", key)
    assert (await spoilt.recorder.outcome(key)).stop_seen
