"""Captured output: every way of writing, whose it is, limits."""

import time
from pathlib import Path

import pytest
from work.pool_support import workshop

from headrace_server.work.pool.output import OutputLimits

STDOUT, STDERR = 2, 3
INFO, WARNING = 2, 3


async def test_every_way_of_writing_is_captured(tmp_path: Path) -> None:
    """print, os.write, a subprocess and printf in C are messages of the run, the last line without
    an end too.
    """
    async with workshop(tmp_path) as shop:
        key = shop.send("write")
        await shop.recorder.outcome(key)
        expected = ["print", "os.write", "subprocess", "printf", "without end"]
        assert sorted(shop.recorder.texts(key, STDOUT)) == sorted(expected)
        assert shop.recorder.texts(key, STDERR) == ["error"]
        levels = {(m.source, m.level) for call in shop.recorder.of("logged", key) for m in call[3]}
        assert levels == {(STDOUT, INFO), (STDERR, WARNING)}


async def test_output_is_told_before_the_end_and_of_its_own_run(tmp_path: Path) -> None:
    """Of 300 runs that write, each has its own lines and no other's, all told between begun and
    finished.
    """
    async with workshop(tmp_path) as shop:
        keys = [shop.send("speak", word=f"word-{number}") for number in range(300)]
        await shop.recorder.outcome(keys[-1])
        for number, key in enumerate(keys):
            assert shop.recorder.texts(key) == [f"word-{number}"] * 2
        current = None
        for call in shop.recorder.calls[1:]:
            if call[0] == "begun":
                current = call[2]
            assert call[2] == current


async def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """NUL is left out, what is no UTF-8 is marked, a long line becomes pieces of at most 4 KiB cut
    between characters.
    """
    async with workshop(tmp_path) as shop:
        key = shop.send("bytes")
        await shop.recorder.outcome(key)
        first, *pieces = shop.recorder.texts(key)
        assert first == "\N{REPLACEMENT CHARACTER}nul"
        assert "".join(pieces) == "ä" * 10_000
        assert all(len(piece.encode()) <= 4096 for piece in pieces)


@pytest.mark.slow
async def test_a_flood_is_cut_and_blocks_nobody(tmp_path: Path) -> None:
    """A hundred megabytes are read to the end; what is kept is the limit, one message says so, the
    rest is counted (failure case 28).
    """
    async with workshop(tmp_path, size=2, output=OutputLimits(100_000)) as shop:
        start = time.monotonic()
        key = shop.send("flood", lines=1_000_000)
        others = 0
        while not shop.recorder.of("finished", key):
            assert (await shop.run("noop", slot="worker-2")).error is None
            others += 1
        print(f"100 MB in {time.monotonic() - start:.2f} s, {others} other runs meanwhile")
        texts = shop.recorder.texts(key)
        assert len(texts) == 1001
        assert texts[:1000] == ["x" * 99] * 1000
        assert "100000 bytes" in texts[-1]
        assert sum(call[4] for call in shop.recorder.of("logged", key)) == 999_000
        assert others > 10
        again = shop.send("write")
        await shop.recorder.outcome(again)
        assert "print" in shop.recorder.texts(again)


async def test_print_and_messages_keep_their_order(tmp_path: Path) -> None:
    """What one thread prints to either stream and logs by ctx.message comes in that order,
    unfinished lines too.
    """
    rounds = 60
    expected = []
    for number in range(rounds):
        expected += [f"{number} print", f"{number} message"]
        if number % 3 == 0:
            expected += [f"{number} error", f"{number} second message"]
        if number % 5 == 0:
            expected += [f"{number} begun, ", f"{number} in between", "ended"]
    async with workshop(tmp_path, modules=["work.rude_jobs"]) as shop:
        for _ in range(3):
            key = shop.send("order", rounds=rounds)
            await shop.recorder.outcome(key)
            assert shop.recorder.texts(key) == expected


async def test_output_without_an_end_is_shown(tmp_path: Path) -> None:
    """A begun line shows while the job is silent, and only its rest later; a bar shows its last
    state, and each state once.
    """
    async with workshop(tmp_path, modules=["work.rude_jobs"]) as shop:
        key = shop.send("bar", seen=tmp_path / "seen")
        await shop.recorder.until(lambda: shop.recorder.texts(key, STDOUT) == ["working"], "the begun line")
        await shop.recorder.until(
            lambda: "99 %" in shop.recorder.texts(key, STDERR), "the last state of the bar"
        )
        states = shop.recorder.texts(key, STDERR)
        assert len(states) == len(set(states)) < 50
        (tmp_path / "seen").touch()
        await shop.recorder.outcome(key)
        assert shop.recorder.texts(key, STDOUT) == ["working", " done"]
        assert shop.recorder.texts(key, STDERR) == [*states, "100 %"]
