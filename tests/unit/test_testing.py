"""headrace.testing, and by it the context that a job is given."""

import itertools
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.jobs import (
    Declared,
    DeclaredFailure,
    File,
    Job,
    JobContext,
    JobStopped,
    Level,
    ParameterError,
    job,
)
from headrace.testing import context, run_job
from headrace.values import UnsupportedValue


@job("image.resize")
def resize(ctx: JobContext, file: File, width: int = 32) -> dict[str, Any]:
    """Resize an image."""
    ctx.set_total(2)
    with ctx.step("read"):
        ctx.advance()
    ctx.set_result("seen", file)
    ctx.log.info("resized %s", file.uri, width=width)
    ctx.advance()
    return {"width": width}


def test_run_job() -> None:
    """run_job goes the whole way of a worker and answers what the job reported."""
    run = run_job(resize, file=File("x.png"), width=3)
    assert run.succeeded
    assert run.result == {"width": 3}
    assert run.results == {"seen": File("x.png")}
    assert run.messages == [(Level.INFO, "resized x.png width=3")]
    assert run.progress == [(0, 2, ""), (1, 2, ""), (2, 2, "")]


def test_a_job_is_called_with_a_context() -> None:
    """A job function is called with a context like any function, which keeps what it reports."""
    ctx = context(owner="ann")
    assert resize(ctx, File("x.png")) == {"width": 32}
    assert ctx.owner == "ann"
    assert ctx.recorded.results == {"seen": File("x.png")}


def test_endings_are_exceptions_of_their_own() -> None:
    """ctx.fail, abort and succeed raise Declared, which is no Exception."""
    assert not issubclass(Declared, Exception)
    with pytest.raises(DeclaredFailure) as caught:
        context().fail("QUOTA", "used up", retry=True)
    assert (caught.value.code, caught.value.message, caught.value.retry) == ("QUOTA", "used up", True)


def test_identity() -> None:
    """The context says who the job is."""
    ctx = context(
        job_id="j", claim=7, attempt=2, tenant="t", session_id="s", description="d", labels={"a": "b"}
    )
    said = (ctx.job_id, ctx.fence, ctx.attempt, ctx.tenant, ctx.session_id, ctx.description, dict(ctx.labels))
    assert said == ("j", 7, 2, "t", "s", "d", {"a": "b"})


def test_param() -> None:
    """ctx.param answers the value of a type, the default, or an error that names the parameter."""
    ctx = context(params={"n": 3, "text": "12", "flag": True, "none": None, "id": str(UUID(int=1))})
    assert ctx.param("n") == ctx.param("n", int) == 3
    assert ctx.param("n", float) == 3.0
    assert ctx.param("text", int) == 12
    assert ctx.param("id", UUID) == UUID(int=1)
    assert ctx.param("flag", bool) is True
    assert ctx.param("missing", str, "x") == ctx.param("missing", default="x") == "x"
    with pytest.raises(ParameterError, match="'missing' is required"):
        ctx.param("missing")
    for name in ("none", "flag"):
        with pytest.raises(ParameterError, match=f"parameter '{name}' is to be UUID"):
            ctx.param(name, UUID)


def test_progress() -> None:
    """Progress is set in all, by ticks, or directly; what is not said stays."""
    ctx = context()
    ctx.set_progress(3, 10, "reading")
    ctx.advance(2)
    ctx.set_total(20)
    ctx.set_progress(1)
    assert ctx.recorded.reports == [
        (3, 10, "reading"),
        (5, 10, "reading"),
        (5, 20, "reading"),
        (1, 20, "reading"),
    ]


@pytest.mark.parametrize(
    "call", [lambda c: c.advance(-1), lambda c: c.set_progress(-1), lambda c: c.set_total(-1)]
)
def test_progress_is_not_negative(call: Callable[[JobContext], None]) -> None:
    """Negative ticks are refused."""
    with pytest.raises(ValueError, match="not negative"):
        call(context())


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.set_total(2**63),
        lambda c: c.set_progress(2**63),
        lambda c: c.set_progress(0, 2**200),
        lambda c: c.set_progress(2**63 - 1) or c.advance(),
        lambda c: list(c.track("ab", total=2**63)),
    ],
)
def test_progress_counts_in_64_bits(call: Callable[[JobContext], None]) -> None:
    """Ticks that no message can carry are refused where the job says them, and what was said before
    stays.
    """
    ctx = context()
    ctx.set_progress(1, 2**63 - 1)
    with pytest.raises(ValueError, match=r"counts to 2\*\*63 - 1"):
        call(ctx)
    assert max(report[1] for report in ctx.recorded.reports if report[1]) == 2**63 - 1


@pytest.mark.parametrize("ticks", [0.5, "1"])
def test_progress_counts_in_whole_ticks(ticks: Any) -> None:
    """What is no integer is refused."""
    ctx = context()
    for call in (ctx.set_total, ctx.advance):
        with pytest.raises(TypeError):
            call(ticks)
    assert ctx.recorded.reports == []


def test_track_of_a_length_that_cannot_be_counted() -> None:
    """An iterable that is longer than 64 bits can say is tracked without a total."""
    ctx = context()
    for endless in (range(10**30), itertools.repeat("x", sys.maxsize)):
        items = ctx.track(endless)
        assert [next(items), next(items)]
    assert ctx.recorded.reports == [(1, None, ""), (2, None, "")]


def test_track() -> None:
    """Track counts the items of an iterable when their turn is over, and its length where it has
    one.
    """
    ctx = context()
    assert list(ctx.track("ab")) == ["a", "b"]
    assert list(ctx.track(iter("c"), total=1)) == ["c"]
    assert list(ctx.track(character for character in "d")) == ["d"]
    assert [report[:2] for report in ctx.recorded.reports] == [(0, 2), (1, 2), (2, 2), (2, 3), (3, 3), (4, 3)]


def test_threads_advance_together() -> None:
    """Ticks of several threads are all counted."""
    ctx = context()
    threads = [threading.Thread(target=lambda: [ctx.advance() for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ctx.recorded.reports[-1][0] == 2000


@pytest.mark.parametrize(("level", "number"), [("debug", 1), ("INFO", 2), (Level.WARNING, 3), (4, 4)])
def test_levels(level: Any, number: int) -> None:
    """A level is given by name or by its number."""
    ctx = context()
    ctx.message(level, "x")
    assert ctx.recorded.messages == [(number, "x")]


@pytest.mark.parametrize("level", ["fatal", 0, 5, ""])
def test_a_level_that_there_is_not(level: Any) -> None:
    """Another level is refused, and the text names those there are."""
    with pytest.raises(ValueError, match="'debug', 'info', 'warning', 'error'"):
        context().message(level, "x")


def test_messages_are_clean() -> None:
    """NUL and lone surrogates, which no database takes, are shown as something else."""
    ctx = context()
    ctx.message("info", "a\0b\udcff")
    assert ctx.recorded.messages == [(Level.INFO, "a\N{REPLACEMENT CHARACTER}b\\udcff")]


def test_log() -> None:
    """Records of ctx.log become messages by level, with their fields and tracebacks, and carry the
    job's identity.
    """
    ctx = context(job_id="j")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign] # a handler of the job's own
    ctx.log.logger.addHandler(handler)
    ctx.log.debug("a %s", 1)
    ctx.log.critical("b", key="v")
    try:
        int("x")
    except ValueError:
        ctx.log.exception("c", n=1)
    debug, critical, error = ctx.recorded.messages
    assert debug == (Level.DEBUG, "a 1")
    assert critical == (Level.ERROR, "b key='v'")
    assert error[1].startswith("c n=1\nTraceback")
    assert vars(records[0])["job_id"] == "j"


def test_a_bad_log_call_harms_no_job(capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that do not fit the text of a log call are told on stderr."""
    ctx = context()
    ctx.log.info("%d", "x")
    assert ctx.recorded.messages == []
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "x" * 101, "a\0", 3])
def test_a_bad_name_of_a_result(name: Any) -> None:
    """The name of a result is 1 to 100 characters."""
    with pytest.raises(ValueError, match="name of a result"):
        context().set_result(name, 1)


def test_the_workspace(tmp_path: Path) -> None:
    """The workspace is the folder given, or a temporary one that goes with the context."""
    assert context(workspace=tmp_path).workspace == tmp_path
    ctx = context()
    folder = ctx.workspace
    assert ctx.workspace == folder
    assert folder.is_dir()
    del ctx
    assert not folder.exists()


def test_the_workspace_of_run_job() -> None:
    """The temporary workspace of a run is gone with what run_job answered."""

    @job("test.folder", workspace=True)
    def folder(ctx: JobContext) -> str:
        return str(ctx.workspace)

    run = run_job(folder)
    path = Path(run.result)
    assert path.is_dir()
    del run
    assert not path.exists()


def test_a_workspace_that_was_not_announced() -> None:
    """A job that uses a workspace without saying so is told how to say so, in its unit test
    already.
    """

    @job("test.folder")
    def folder(ctx: JobContext) -> str:
        return str(ctx.workspace)

    error = run_job(folder).error
    assert error is not None
    assert "@job('test.folder', workspace=True)" in error["message"]


def test_resources_are_stand_ins() -> None:
    """Resources of a test are the objects it gives."""

    @job("test.resource")
    def use(ctx: JobContext) -> Any:
        return ctx.resources.answer

    assert run_job(use, resources={"answer": 42}).result == 42


def test_parameters_by_other_names() -> None:
    """Parameters that run_job needs itself, and further identity, are given as mappings."""

    class Whose(Job):
        type = "test.whose"

        def run(self, ctx: JobContext, owner: str) -> list[str]:
            return [owner, ctx.owner, ctx.session_id]

    run = run_job(Whose, params={"owner": "a"}, owner="b", identity={"session_id": "c"})
    assert run.result == ["a", "b", "c"]


def test_what_is_no_job() -> None:
    """A function without the mark is refused, and so is a parameter that no value holds."""
    with pytest.raises(TypeError, match="mark it with @job"):
        run_job(print)
    with pytest.raises(UnsupportedValue, match=r"parameters\[file\]"):
        run_job(resize, file=object())


def test_stop_after_reports_or_time() -> None:
    """A stop comes after so many reports, so much time, or when the test asks for it; its reason is
    readable then.
    """
    ctx = context(stop_after=1)
    ctx.advance()
    with pytest.raises(JobStopped):
        ctx.advance()
    assert context(stop_after=timedelta(0)).stop_requested
    assert not context(stop_after=timedelta(hours=1)).stop_requested
    ctx = context()
    assert (ctx.stop_requested, ctx.stop_reason) == (False, "")
    ctx.recorded.stop("enough")
    assert ctx.stop_reason == "enough"
    with pytest.raises(JobStopped, match="enough"):
        ctx.param("x")


def test_times_come_back_in_utc() -> None:
    """A parameter is what a worker would see: a time in UTC."""

    @job("test.when")
    def when(_ctx: JobContext, at: datetime) -> bool:
        return at.tzinfo is UTC

    assert run_job(when, at=datetime(2026, 1, 1, tzinfo=UTC)).result is True
