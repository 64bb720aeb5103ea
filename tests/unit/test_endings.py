"""headrace.jobs.execute: the ways in which the code of a job ends."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.jobs import ErrorKind, JobContext, job
from headrace.testing import JobRun, run_job

STOP = timedelta(0)


def _run(function: Any, **given: Any) -> JobRun:
    return run_job(job("test.it")(function), **given)


def test_a_return() -> None:
    """What the function returns is the result; None is none."""
    run = _run(lambda _ctx: [1, 2])
    assert (run.result, run.ending.error, run.succeeded) == ([1, 2], None, True)
    assert _run(lambda _ctx: None).ending.result is None


def test_defaults_are_the_functions_own() -> None:
    """Parameters that are not given have the function's defaults; ctx.params has only those given."""

    def both(ctx: JobContext, a: int, b: int = 5) -> list[Any]:
        return [a, b, dict(ctx.params)]

    assert _run(both, a=1).result == [1, 5, {"a": 1}]


def test_an_exception() -> None:
    """An exception gives its type, its words and a traceback that begins in the job's own code."""

    def read(_ctx: JobContext) -> None:
        raise FileNotFoundError("no such file")

    error = _run(read).error
    assert error is not None
    assert (error["kind"], error["type"], error["message"]) == (
        ErrorKind.EXCEPTION,
        "FileNotFoundError",
        "no such file",
    )
    assert "in read" in error["traceback"]
    assert "headrace/_execute.py" not in error["traceback"]


def test_a_chain_of_exceptions() -> None:
    """The traceback shows what an exception came from."""

    def read(_ctx: JobContext) -> None:
        try:
            _ = {}["cause"]
        except KeyError as error:
            raise RuntimeError("effect") from error

    error = _run(read).error
    assert error is not None
    assert "KeyError: 'cause'" in error["traceback"]
    assert error["traceback"].endswith("RuntimeError: effect\n")


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
def test_a_base_exception(error: BaseException) -> None:
    """What ends a program ends the job alone: as an exception of the job."""

    def leave(_ctx: JobContext) -> None:
        raise error

    ended = _run(leave).error
    assert ended is not None
    assert ended["kind"] == ErrorKind.EXCEPTION
    assert ended["type"].endswith(type(error).__name__)
    assert ended["message"]


def test_a_long_traceback_loses_its_middle() -> None:
    """A traceback is at most 64 KiB and a message 4 KiB, cut in the middle with a marker."""

    def shout(_ctx: JobContext) -> None:
        raise ValueError("begin" + "ä" * 200_000 + "end")

    error = _run(shout).error
    assert error is not None
    assert len(error["traceback"].encode()) <= 64 * 1024
    assert len(error["message"].encode()) <= 4096
    assert error["traceback"].startswith("Traceback")
    assert error["traceback"].endswith("end\n")
    assert "bytes left out" in error["traceback"]


def test_an_exception_that_cannot_be_shown() -> None:
    """An exception whose own words fail, or are no text for a database, still ends the job in
    words.
    """

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def mute(_ctx: JobContext) -> None:
        raise Mute

    def odd(_ctx: JobContext) -> None:
        raise ValueError("a\0b\udcff")

    error = _run(mute).error
    assert error is not None
    assert "Mute" in error["type"]
    assert "without words" in error["message"]
    error = _run(odd).error
    assert error is not None
    assert error["message"] == "a\N{REPLACEMENT CHARACTER}b\\udcff"


def test_fail() -> None:
    """ctx.fail gives the job's own code, past `except Exception`, and asks for a retry only when
    told to.
    """

    def give_up(ctx: JobContext, retry: bool) -> None:
        try:
            ctx.fail("QUOTA", "the quota is used up", retry=retry)
        except Exception:  # noqa: BLE001 - the point
            return

    run = _run(give_up, retry=False)
    assert run.error == {
        "kind": ErrorKind.DECLARED,
        "message": "the quota is used up",
        "code": "QUOTA",
        "type": "",
        "step": "",
        "traceback": "",
    }
    assert not run.ending.retry
    assert _run(give_up, retry=True).ending.retry


def test_fail_within_an_except() -> None:
    """A failure that is declared while an exception is handled keeps its traceback."""

    def give_up(ctx: JobContext) -> None:
        try:
            Path("/nowhere/at/all").read_text()
        except OSError:
            ctx.fail("DISK", "no room")

    error = _run(give_up).error
    assert error is not None
    assert "FileNotFoundError" in error["traceback"]


def test_abort() -> None:
    """ctx.abort ends the job aborted; its reason is the message of a declared error."""
    run = _run(lambda ctx: ctx.abort("not needed"))
    assert run.aborted
    assert run.error is not None
    assert (run.error["kind"], run.error["message"]) == (ErrorKind.DECLARED, "not needed")
    assert _run(lambda ctx: ctx.abort()).error is None


def test_succeed() -> None:
    """ctx.succeed ends the job with a result, and insists on it against a stop."""
    run = _run(lambda ctx: ctx.succeed({"a": 1}), stop_after=STOP)
    assert (run.result, run.ending.insisted, run.succeeded) == ({"a": 1}, True, True)


def test_steps() -> None:
    """A failure names the innermost step that it left, nested ones by their path, and none outside
    of any.
    """

    def load(ctx: JobContext, where: str) -> None:
        with ctx.step("load"), ctx.step("parse"):
            if where == "inside":
                raise ValueError
            if where == "declared":
                ctx.fail("X", "x")
        with suppress(KeyError), ctx.step("optional"):
            raise KeyError
        raise ValueError

    steps = []
    for where in ("inside", "declared", "outside"):
        error = _run(load, where=where).error
        assert error is not None
        steps.append(error["step"])
    assert steps == ["load/parse", "load/parse", ""]
