"""headrace.jobs.execute: what a job is given, what keeps it from starting, and what it gives back."""

from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from headrace._work import results
from headrace.jobs import ErrorKind, Job, JobContext, ResultTooLarge, job
from headrace.testing import JobRun, run_job


def _run(function: Any, **given: Any) -> JobRun:
    return run_job(job("test.it")(function), **given)


class Summer(Job):
    """A job as a class."""

    type = "test.sum"

    def run(self, ctx: JobContext, numbers: list[int]) -> int:
        """Answer the sum."""
        ctx.message("info", type(self).__name__)
        return sum(numbers)


class Reader(Job):
    """A job as a class whose parameters are not declared."""

    type = "test.read"

    def run(self, ctx: JobContext) -> Any:
        """Answer a parameter."""
        return ctx.param("a", int)


class Unmakeable(Summer):
    """A job as a class that cannot be made."""

    type = "test.unmakeable"

    def __init__(self) -> None:
        raise OSError("no licence")


def test_a_class() -> None:
    """A class is made for each run; a run with ctx alone reads what it is given."""
    assert run_job(Summer, numbers=[1, 2]).result == 3
    assert run_job(Reader, a=1, b=2).result == 1


def test_setup_failures() -> None:
    """What keeps the code from starting is SETUP_FAILED: parameters, a class or a resource that
    cannot be made.
    """

    def one(_ctx: JobContext, a: int) -> int:
        return a

    def ask(ctx: JobContext) -> None:
        _ = ctx.resources.database

    for run, words in (
        (_run(one), "a: It is required."),
        (_run(one, a=1, b=2), "b: There is no such parameter; those there are: a."),
        (run_job(Unmakeable, numbers=[]), "no licence"),
    ):
        assert run.error is not None
        assert (run.error["kind"], words in run.error["message"]) == (ErrorKind.SETUP_FAILED, True)
    error = _run(ask, resources={}).error
    assert error is not None
    assert error["type"] == "AttributeError"


class Colour(Enum):
    """A choice."""

    RED = "red"


class Pair(NamedTuple):
    """Two."""

    left: int
    right: str


def test_richer_types() -> None:
    """Annotations beyond the plain kinds get their objects, and such results become values."""

    def rich(_ctx: JobContext, who: UUID, path: Path, colour: Colour, pair: Pair, money: Decimal) -> Pair:
        assert (type(who), type(money), colour) == (UUID, Decimal, Colour.RED)
        return Pair(pair.left, f"{path.name} {pair.right}")

    given = {
        "who": UUID(int=3),
        "path": Path("/a/b"),
        "colour": "red",
        "pair": [1, "x"],
        "money": Decimal("1.50"),
    }
    run = _run(rich, **given)
    assert run.error is None
    assert run.result == [1, "b x"]


def test_a_richer_type_that_does_not_fit() -> None:
    """A value that cannot become what the annotation asks for is SETUP_FAILED, naming the
    parameter.
    """

    def rich(_ctx: JobContext, who: UUID) -> None: ...

    error = _run(rich, who="nobody").error
    assert error is not None
    assert error["kind"] == ErrorKind.SETUP_FAILED
    assert "who: Input should be a valid UUID" in error["message"]


def test_results_that_no_value_holds() -> None:
    """A result of no kind is RESULT_NOT_SERIALIZABLE, whether returned or set, and names where it
    lies.
    """

    def named(ctx: JobContext) -> None:
        ctx.set_result("x", float("nan"))

    for run, words in (
        (_run(lambda _ctx: {"a": [object()]}), "result[a][0]"),
        (_run(lambda ctx: ctx.succeed(object())), "result: "),
        (_run(named), "results[x]"),
    ):
        assert run.error is not None
        assert (run.error["kind"], words in run.error["message"]) == (ErrorKind.RESULT_NOT_SERIALIZABLE, True)


def test_results_that_are_too_large() -> None:
    """Results over 1 MiB together are RESULT_TOO_LARGE; a name that is set again counts once, and a
    job may react.
    """
    half = "x" * (results.RESULTS_MAX // 2)

    def again(ctx: JobContext) -> str:
        for _ in range(5):
            ctx.set_result("half", half)
        return half[:-10]

    def careful(ctx: JobContext) -> str:
        ctx.set_result("half", half)
        try:
            ctx.set_result("more", half)
        except ResultTooLarge:
            return "smaller"
        return ""

    assert _run(again).succeeded
    assert _run(careful).result == "smaller"
    error = _run(lambda _ctx: half * 2).error
    assert error is not None
    assert error["kind"] == ErrorKind.RESULT_TOO_LARGE
