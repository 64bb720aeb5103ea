"""One loaded worker in reserve: a slot that has lost its worker to a run does not wait for the
imports of the next.
"""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from work.pool_support import Witness, Workshop, fact, workshop

GATED = ("work.gated_import", "work.pool_jobs")


async def spare_of(shop: Workshop, but: int | None = None) -> int:
    """The process of the spare, once it is loaded; not of this one."""

    def loaded() -> int | None:
        born = shop.pool._spare._born
        pid = shop.pool._supervision.pids.get(born[0].life) if born and born[0].loaded else None
        return None if pid == but else pid

    return int(await fact(loaded, "a spare that is loaded"))


async def test_the_spare_takes_the_slot_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no import comes to its end any more, the run behind an interrupted one still has a
    worker.
    """
    gate = tmp_path / "gate"
    monkeypatch.setenv("IMPORT_GATE", str(gate))
    gate.touch()
    async with workshop(tmp_path, modules=GATED) as shop:
        spare = await spare_of(shop)
        gate.unlink()
        key, pid = await shop.started("locked", how="sleep")
        behind = shop.send("locked")
        witness = Witness(pid)
        shop.pool.terminate("worker-1", key)
        assert (await shop.recorder.outcome(behind)).result == str(spare)
        await witness.gone()
        witness.close()
        gate.touch()
        assert await spare_of(shop) != spare
        assert shop.pool.counters() == {"children": 1, "restarts": 1, "runs": 2}
        assert not shop.recorder.of("lost")


async def test_a_slot_that_is_lost_has_the_spare_too(tmp_path: Path) -> None:
    """A killed worker is followed by the spare."""
    async with workshop(tmp_path) as shop:
        spare = await spare_of(shop)
        shop.pool.kill("worker-1")
        await shop.recorder.ready(2)
        assert (await shop.run("locked")).result == str(spare)


async def test_a_spare_that_dies_is_followed_by_another(tmp_path: Path) -> None:
    """Its end is no loss of a slot."""
    async with workshop(tmp_path) as shop:
        spare = await spare_of(shop)
        os.kill(spare, signal.SIGKILL)
        assert await spare_of(shop, but=spare)
        assert not shop.recorder.of("lost")


@pytest.mark.slow
async def test_a_storm_of_stops_keeps_the_throughput(tmp_path: Path) -> None:
    """While each hundredth run is interrupted and costs its worker, the others keep 80 % of their
    throughput.

    86 to 102 % were measured beside a load of 12 on two cores; asserted with room for a machine
    that does other things.
    """

    async def lane(shop: Workshop, slot: str, *, storm: bool) -> int:
        done, end = 0, time.monotonic() + 0.3
        while time.monotonic() < end:
            for _ in range(100):
                await shop.run("nap", slot)
                done += 1
            if storm:
                key, _pid = await shop.started("locked", slot, how="sleep")
                shop.pool.terminate(slot, key)
                await shop.recorder.outcome(key)
        return done

    async with workshop(tmp_path, size=2) as shop:
        done, seconds = {False: 0, True: 0}, {False: 0.0, True: 0.0}
        for storm in (False, True) * 4:  # in turns, so that what else the machine does meets both
            began = time.monotonic()
            done[storm] += sum(
                await asyncio.gather(*(lane(shop, slot, storm=storm) for slot in shop.pool.slots))
            )
            seconds[storm] += time.monotonic() - began
        quiet, stormy = done[False] / seconds[False], done[True] / seconds[True]
        print(f"runs a second: {quiet:.0f}, in the storm {stormy:.0f}, {stormy / quiet:.0%}")
        assert stormy > quiet * 0.65
