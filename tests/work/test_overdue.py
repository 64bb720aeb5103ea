"""A child that does not come on where no timeout of a job counts: each state has its time, and a
line in the log.
"""

import os
import signal
import time
from pathlib import Path

import pytest
from work.pool_support import Witness, fact, workshop

from headrace_server.work.pool import slot, spare
from headrace_server.work.pool.overdue import TAKING, Overdue


def hasten(monkeypatch: pytest.MonkeyPatch, *names: str, tell: float = 0.05, kill: float = 0.2) -> None:
    """Give these steps less time."""
    for name in names:
        for module in (slot, spare):
            if step := getattr(module, name, None):
                monkeypatch.setattr(module, name, step._replace(tell=tell, kill=step.kill and kill))


async def test_a_child_that_hangs_at_its_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A child that hangs at its exit with every signal blocked is told of and killed; the run
    behind it does not wait for that.
    """
    hasten(monkeypatch, "LEAVING")
    async with workshop(tmp_path, max_jobs_per_child=1) as shop:
        pid = shop.pool.pid("worker-1")
        assert pid is not None
        witness = Witness(pid)
        hung = shop.send("hang_at_exit")
        waiting = shop.send("noop")
        assert (await shop.recorder.outcome(hung)).error is None
        assert (await shop.recorder.outcome(waiting)).error is None
        await witness.gone()
        witness.close()
        assert not shop.recorder.of("lost")
    assert "has not ended, as it said that it would: it is killed" in caplog.text


async def test_a_child_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A child that does not take the run that it was handed is killed, and the run comes back
    unused.
    """
    hasten(monkeypatch, "TAKING")
    async with workshop(tmp_path) as shop:
        pid = shop.pool.pid("worker-1")
        assert pid
        os.kill(pid, signal.SIGSTOP)
        run = shop.send("noop")
        assert (await shop.recorder.lost())[2:4] == ([], [run])
        assert f"worker process {pid} has not taken the run that it was handed: it is killed" in caplog.text
        await shop.recorder.ready(2)
        assert (await shop.run("noop")).error is None


async def test_the_time_counts_from_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is expected again is expected from when it was first; the same one of the next
    run, from now; nothing, not at all.
    """
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    killed: list[float] = []
    child = Overdue("worker-1", lambda: 7, lambda: killed.append(now))
    for at, step, number, kills in [
        (0.0, TAKING, 1, 0), (29.0, TAKING, 1, 0), (31.0, TAKING, 2, 0), (59.0, TAKING, 2, 0), (62.0, None, 0, 0),
        (300.0, TAKING, 3, 0), (311.0, TAKING, 3, 0), (331.0, TAKING, 3, 1),
    ]:  # fmt: skip
        now = at
        child.expect(step, number)
        child._look()
        assert len(killed) == kills
    child.expect(None)


async def test_a_child_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A child whose modules hang while they are loaded is told of, killed, and followed by another."""
    hasten(monkeypatch, "STARTING")
    monkeypatch.setenv("IMPORT_GATE", str(tmp_path / "gate"))
    async with workshop(tmp_path, modules=("work.gated_import",), ready=False) as shop:
        lost = await shop.recorder.lost()
        assert lost[4].endswith("before it was ready")
        (tmp_path / "gate").touch()
        await shop.recorder.ready(1)
    assert "has not loaded its modules: it is killed" in caplog.text


async def test_a_reserve_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reserve whose imports hang is told of, killed and followed by another; no slot is lost with
    it.
    """
    gate = tmp_path / "gate"
    monkeypatch.setenv("IMPORT_GATE", str(gate))
    gate.touch()
    async with workshop(tmp_path, modules=("work.gated_import", "work.pool_jobs")) as shop:

        def up() -> int | None:
            born = shop.pool._spare._born
            return shop.pool._supervision.pids.get(born[0].life) if born and born[0].loaded else None

        first = await fact(up, "a reserve")
        hasten(monkeypatch, "STARTING")
        gate.unlink()
        os.kill(first, signal.SIGKILL)
        await fact(lambda: "has not loaded its modules: it is killed" in caplog.text, "a line in the log")
        assert (await shop.run("noop")).error is None
        gate.touch()
        assert await fact(up, "another") != first
        assert not shop.recorder.of("lost")
    recorder = [record for record in caplog.records if "not loaded its modules" in record.getMessage()]
    assert {getattr(record, "worker", "") for record in recorder} == {"reserve"}


async def test_a_killed_child_that_does_not_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A child that was killed and is not gone is told of, again and again, until it is."""
    hasten(monkeypatch, "DYING")
    async with workshop(tmp_path) as shop:
        supervisor, pid = shop.pool.supervisor_pid, shop.pool.pid("worker-1")
        assert supervisor
        assert pid
        witness = Witness(pid)
        os.kill(supervisor, signal.SIGSTOP)
        try:
            shop.pool.kill("worker-1")
            await fact(
                lambda: caplog.text.count(f"process {pid} has not gone, though it was killed") > 1,
                "two lines",
            )
        finally:
            os.kill(supervisor, signal.SIGCONT)
        await shop.recorder.lost()
        await witness.gone()
        witness.close()
