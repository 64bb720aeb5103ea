"""Types, or a pool, whose runs have a worker process each."""

import json
from pathlib import Path

from work.pool_support import workshop


async def test_a_fresh_type_shares_its_process_with_no_run(tmp_path: Path) -> None:
    """Its runs, and those of other types around them, handed over one by one or together: none
    before it and none after it.
    """
    async with workshop(tmp_path) as shop:
        keys = [shop.send(name) for name in ("worker", "alone", "alone", "worker", "worker", "alone")]
        results = [json.loads((await shop.recorder.outcome(key)).result or "") for key in keys]
        pids = [value if isinstance(value, int) else value["v"]["pid"] for value in results]
        first, one, two, next_, same, last = pids
        assert len({first, one, two, next_, last}) == 5
        assert same == next_
        assert [call[2] for call in shop.recorder.of("begun")] == keys
        assert not shop.recorder.of("lost")


async def test_a_stop_finds_a_run_that_was_given_back(tmp_path: Path) -> None:
    """A run that is flagged while a used worker has it sees the flag in the worker that runs it."""
    async with workshop(tmp_path) as shop:
        for _ in range(10):
            shop.send("noop")
            key = shop.send("alone-polite", started=tmp_path / "started")
            shop.pool.flag_stop("worker-1", key, "enough")
            outcome = await shop.recorder.outcome(key)
            assert outcome.stop_seen


async def test_a_fresh_pool_has_a_process_for_each_run(tmp_path: Path) -> None:
    """With the setting no two runs share one, whatever their type is."""
    async with workshop(tmp_path, fresh=True, size=2) as shop:
        keys = [shop.send("locked", slot) for _ in range(4) for slot in shop.pool.slots]
        results = [(await shop.recorder.outcome(key)).result for key in keys]
        assert len(set(results)) == len(keys)
        assert not shop.recorder.of("lost")
