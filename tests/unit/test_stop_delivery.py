"""headrace.jobs.execute: how a stop reaches a job, by its context, by cancellation and by SIGTERM."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from headrace.jobs import JobContext, JobStopped, interrupt, job
from headrace.testing import JobRun, run_job

STOP = timedelta(0)


def _run(function: Any, **given: Any) -> JobRun:
    return run_job(job("test.it")(function), **given)


def test_a_stop_ends_the_job_at_its_next_report() -> None:
    """The next use of the context raises JobStopped, past `except Exception`, and the clean-up can
    still report.
    """

    def work(ctx: JobContext) -> None:
        try:
            while True:
                with suppress(Exception):
                    ctx.advance()
        finally:
            ctx.message("warning", "cleaning up")
            ctx.set_result("rows", 3)
            ctx.check_stop()

    run = _run(work, stop_after=5)
    assert run.ending.aborted
    assert run.ending.stop_seen
    assert run.error is None
    assert len(run.progress) == 5
    assert run.results == {"rows": 3}


def test_a_job_that_read_the_flag() -> None:
    """Reading True counts as seen, spares the exception, and check_stop still raises it."""

    def polite(ctx: JobContext, how: str) -> str:
        assert ctx.stop_requested
        ctx.message("info", "stopping")
        if how == "check":
            ctx.check_stop()
        if how == "insist":
            ctx.succeed("saved")
        return "partly"

    returned = _run(polite, how="return", stop_after=STOP)
    assert (returned.ending.stop_seen, returned.ending.aborted, returned.aborted) == (True, False, True)
    assert _run(polite, how="check", stop_after=STOP).ending.aborted
    assert _run(polite, how="insist", stop_after=STOP).succeeded


def test_a_stop_that_never_reached_the_job() -> None:
    """A job that never looked has not seen the stop: its return is a success."""
    run = _run(lambda ctx: ctx.job_id, stop_after=STOP)
    assert not run.ending.stop_seen
    assert run.succeeded


def test_an_exception_after_a_stop() -> None:
    """An exception of the clean-up is told, along with that the stop was seen."""

    def work(ctx: JobContext) -> None:
        try:
            ctx.check_stop()
        finally:
            raise OSError("in the clean-up")

    run = _run(work, stop_after=STOP)
    assert run.ending.stop_seen
    assert run.error is not None
    assert run.aborted


def test_a_coroutine() -> None:
    """An async function is awaited on a loop of its own."""

    async def double(_ctx: JobContext, n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    async def raises(_ctx: JobContext) -> None:
        await asyncio.sleep(0)
        raise ValueError("awaited")

    assert _run(double, n=2).result == 4
    error = _run(raises).error
    assert error is not None
    assert "asyncio" not in error["traceback"]
    assert "_interrupt" not in error["traceback"]


def test_a_stop_interrupts_a_coroutine_that_awaits() -> None:
    """A stop cancels a coroutine that awaits, whose clean-up can await and report."""

    async def wait(ctx: JobContext) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            ctx.message("info", "cleaned up")

    run = _run(wait, stop_after=timedelta(seconds=0.1))
    assert run.ending.aborted
    assert run.messages == [(2, "cleaned up")]


def test_a_coroutine_that_swallows_the_cancellation_has_seen_the_stop() -> None:
    """A coroutine that returns although it was cancelled has seen the stop, and may insist."""

    async def stubborn(ctx: JobContext, how: str) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if how == "insist":
                ctx.succeed("saved")
        return "done"

    run = _run(stubborn, how="return", stop_after=STOP)
    assert (run.ending.stop_seen, run.succeeded) == (True, False)
    assert _run(stubborn, how="insist", stop_after=STOP).succeeded


def test_a_task_group_does_not_hide_how_a_job_ends() -> None:
    """What a job says in a task of its own comes out of the exception group."""

    async def grouped(ctx: JobContext, how: str) -> None:
        async def part() -> None:
            if how == "fail":
                ctx.fail("X", "in a task")
            ctx.check_stop()

        async with asyncio.TaskGroup() as group:
            group.create_task(part())
            group.create_task(asyncio.sleep(60))

    error = _run(grouped, how="fail").error
    assert error is not None
    assert error["code"] == "X"
    assert _run(grouped, how="stop", stop_after=STOP).ending.aborted


@contextmanager
def _sigterm_after(seconds: float) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda *_: interrupt())
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)


def test_sigterm_interrupts_code_that_never_looks() -> None:
    """SIGTERM raises JobStopped where the job stands, and its clean-up can report."""

    def sleep(ctx: JobContext) -> None:
        try:
            time.sleep(60)
        finally:
            ctx.message("info", "cleaned up")

    with _sigterm_after(0.1):
        run = _run(sleep)
    assert (run.ending.aborted, run.ending.stop_seen) == (True, True)
    assert run.messages == [(2, "cleaned up")]


@pytest.mark.parametrize("how", ["await", "block", "task"])
def test_sigterm_interrupts_a_coroutine(how: str) -> None:
    """SIGTERM ends a coroutine wherever it stands: awaiting, blocking, or blocking in another task."""

    async def block() -> None:
        time.sleep(60)  # noqa: ASYNC251 - the point

    async def stand(ctx: JobContext) -> None:
        task = asyncio.create_task(block()) if how == "task" else None
        try:
            if how == "block":
                await block()
            await asyncio.sleep(60)
        finally:
            ctx.message("info", "cleaned up")
            if task is not None:
                await asyncio.wait([task])
                task.exception()

    with _sigterm_after(0.1):
        run = _run(stand)
    assert (run.ending.aborted, run.ending.stop_seen) == (True, True)
    assert run.messages == [(2, "cleaned up")]


def test_sigterm_that_was_swallowed_was_seen() -> None:
    """A job that swallows the exception and returns has seen the stop."""

    def swallow(_ctx: JobContext) -> str:
        try:
            time.sleep(60)
        except JobStopped:
            return "done"
        return ""

    with _sigterm_after(0.1):
        run = _run(swallow)
    assert (run.ending.stop_seen, run.succeeded) == (True, False)


def test_sigterm_between_jobs_is_nothing() -> None:
    """Where no code of a job runs, interrupt does nothing."""
    interrupt()


def test_sigterm_at_any_line_leaves_the_next_job_alone() -> None:
    """Signals that hit a short job at whatever line: it ends as returned or stopped, and nothing is
    left of it.
    """

    def short(_ctx: JobContext) -> str:
        return "done"

    def handle(*_: object) -> None:
        interrupt()

    before = signal.signal(signal.SIGALRM, handle)
    hits = 0
    try:
        for number in range(3000):
            definition = job("test.short")(short)
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 400))
            try:
                ending = run_job(definition).ending
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert ending.aborted or ending.result == '"done"'
            hits += ending.aborted
            del ending
            interrupt()  # raises where a job is taken for running
    finally:
        signal.signal(signal.SIGALRM, before)
    assert hits
