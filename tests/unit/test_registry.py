"""headrace_server.work.catalog.registry: the types that are loaded, and what fits their signatures."""

import asyncio
import json
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.testing import run_job
from headrace.values import File, Reference, decode, dumps, encode
from headrace_server.domain.errors import FieldViolation, InvalidParameter, UnknownType
from headrace_server.domain.ports.job_types import JobTypes, TypeDefaults
from headrace_server.domain.spec import RetryPolicy
from headrace_server.work.catalog import loader_life
from headrace_server.work.catalog.known_type import KnownType
from headrace_server.work.catalog.loader import Loader, LoaderSettings
from headrace_server.work.catalog.registry import Registry
from headrace_server.work.ipc import channel
from headrace_server.work.ipc.frames import decode as decode_frame

Load = Callable[..., Registry]

HEADER = """
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import *
from uuid import UUID
from pydantic import BaseModel, Field
from headrace.jobs import *
"""


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads modules of this text: jobs_under_test, and others by name."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def load(text: str = "", **others: str) -> Registry:
        modules = {"jobs_under_test": text, **others}
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(HEADER + textwrap.dedent(source))
        return _load_here(list(modules))

    yield load
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _load_here(modules: list[str]) -> Registry:
    """What a loader finds in these modules, and checks: here it is no process of its own."""
    ours, theirs = channel.pair()
    with ours, theirs:
        here = Loader(theirs)
        here.load(LoaderSettings(modules, entry_points=False, path=sys.path, bytecode=False))
        found = loader_life.Load()
        frames = channel.Receiver(ours)
        while (said := decode_frame(frames.frame())[0])[0] != "loaded":
            if said[0] == "type":
                known = KnownType(said[2], said[1])
                found.types[known.info.type] = known
        found.errors = said[1]

    async def ask(kind: str, parameters: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
        wrong, checked = here._check(kind, dumps(parameters), time.monotonic() + 60, whole=whole)
        if wrong is not None:
            raise InvalidParameter(*(FieldViolation(*one) for one in wrong))
        return json.loads(checked)

    registry = Registry(ask)
    registry.learn(found)
    return registry


def _check(registry: JobTypes, **given: Any) -> dict[str, Any]:
    checked = asyncio.run(registry.check("it", {name: encode(value) for name, value in given.items()}))
    return {name: decode(plain) for name, plain in checked.items()}


def _refused(registry: JobTypes, **given: Any) -> dict[str, str]:
    with pytest.raises(InvalidParameter) as caught:
        _check(registry, **given)
    return dict(caught.value.fields)


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        ("int", True),
        ("float", False),
        ("int | None", True),
        ("list[int]", [1, True]),
        ("dict[str, float]", {"a": True}),
    ],
)
def test_a_bool_is_no_number(load_text: Load, annotation: str, given: Any) -> None:
    """True is not taken for 1; where a bool may be given it stays one."""
    registry = load_text(f"@job('it')\ndef it(ctx, x: {annotation} = None, y: int | bool = 0, z=0): ...")
    assert _refused(registry, x=given) == {
        "spec.parameters[x]": "A number is wanted, and true and false are none."
    }
    assert _check(registry, y=True, z=True) | {"x": None} == {"x": None, "y": True, "z": True}


RICH = """import uuid
from datetime import timedelta
from enum import Enum

class Colour(str, Enum):
    RED = "red"

"""


def test_given_parameters_are_normalised(load_text: Load) -> None:
    """Each parameter becomes what its annotation asks for; one that is not given has its default,
    likewise.
    """
    registry = load_text(
        "@job('it')\ndef it(ctx, n: int, ratio: float = 1, on: date = None, left: int = 7): ..."
    )
    given = {"n": "32", "ratio": 3, "on": "2026-11-22"}
    checked = _check(registry, **given)
    assert checked == {"n": 32, "ratio": 3.0, "on": date(2026, 11, 22), "left": 7}
    assert type(checked["ratio"]) is float


@pytest.mark.parametrize(
    ("annotation", "default", "stored"),
    [
        (": int", "7", 7),
        (": float", "1", 1.0),
        ("", "7", 7),
        (": str | None", "None", None),
        (": timedelta", "timedelta(seconds=90)", timedelta(seconds=90)),
        (": bytes", "b'x'", b"x"),
        (": list[int]", "(1, 2)", [1, 2]),
        (": Colour", "Colour.RED", "red"),
        (": uuid.UUID", "uuid.UUID(int=1)", "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_defaults_are_stored(load_text: Load, annotation: str, default: str, stored: Any) -> None:
    """A default is stored as if it had been given, so that the job is found by it; what is given
    goes before.
    """
    registry = load_text(f"{RICH}@job('it')\ndef it(ctx, x{annotation} = {default}): ...")
    checked = _check(registry)
    assert checked == {"x": stored}
    assert type(checked["x"]) is type(stored)
    assert asyncio.run(registry.check("it", {}, whole=False)) == {}


@pytest.mark.parametrize(
    ("annotation", "default"),
    [("", "object()"), (": int", "None"), ("", "Colour.RED"), ("", "[Colour.RED]"), (": Colour", "'red'")],
)
def test_defaults_that_a_worker_could_not_make_anew(load_text: Load, annotation: str, default: str) -> None:
    """A default that no value stands for, or that would come back as another, is left to the
    function.
    """
    registry = load_text(f"{RICH}@job('it')\ndef it(ctx, x{annotation} = {default}): ...")
    assert _check(registry) == {}


@pytest.mark.parametrize(
    ("annotation", "given", "stored"),
    [
        ("bytes", b"\0\xff", b"\0\xff"),
        ("bytes", "text", b"text"),
        ("datetime", "2026-01-01T00:00:00+01:00", datetime(2025, 12, 31, 23, tzinfo=UTC)),
        ("timedelta", "PT1M", timedelta(minutes=1)),
        ("timedelta", 1.5, timedelta(seconds=1.5)),
        ("bool", "yes", True),
        ("Any", Reference("a", "b"), Reference("a", "b")),
        ("Reference", {"kind": "a", "id": "b"}, Reference("a", "b")),
        ("list[File]", [File("x"), {"uri": "y"}], [File("x"), File("y")]),
        ("dict[str, Reference]", {"x": Reference("a", "b")}, {"x": Reference("a", "b")}),
        ("int | None", None, None),
        ("Literal['a', 'b']", "a", "a"),
        ("UUID", "{00000000-0000-0000-0000-000000000003}", "00000000-0000-0000-0000-000000000003"),
        ("Decimal", "1.50", "1.50"),
        ("Path", "/a/b", "/a/b"),
        ("set[int]", [1, "2"], [1, 2]),
        ("tuple[int, str]", [1, "x"], [1, "x"]),
        ("dict[int, date]", {"1": "2026-01-01"}, {"1": date(2026, 1, 1)}),
        ("Annotated[int, Field(gt=0)]", 3, 3),
        ("Colour", "red", "red"),
        (
            "Model",
            {"who": Reference("a", "b"), "n": "1"},
            {"who": Reference("a", "b"), "n": 1, "colour": "red"},
        ),
        ("Data", {"file": File("x")}, {"file": File("x")}),
    ],
)
def test_types(load_text: Load, annotation: str, given: Any, stored: Any) -> None:
    """Every type that pydantic knows is stored as plain values, from which a worker makes it again."""
    registry = load_text(
        f"""
        class Colour(Enum):
            RED = "red"

        class Model(BaseModel):
            who: Reference
            n: int
            colour: Colour = Colour.RED

        @dataclass
        class Data:
            file: File

        @job("it")
        def it(ctx, x: {annotation}) -> str:
            return repr(x)
        """
    )
    assert _check(registry, x=given) == {"x": stored}
    assert _check(registry, x=stored) == {"x": stored}
    run = run_job(sys.modules["jobs_under_test"].it, x=stored)
    assert run.error is None
    assert registry.infos()[0].load_error == ""
    assert json.loads(registry.infos()[0].parameters_schema)["required"] == ["x"]


def test_every_bad_field_is_named(load_text: Load) -> None:
    """Missing, unknown and wrong parameters each have a violation of their own, down to the item."""
    registry = load_text(
        "@job('it')\ndef it(ctx, need: int, width: int = 1, sizes: list[int] = [], who: Reference = None): ..."
    )
    assert _refused(registry, width="wide", sizes=[1, "x", 2.5], who={"kind": "a"}, widht=3) == {
        "spec.parameters[need]": "It is required.",
        "spec.parameters[widht]": "There is no such parameter; those there are: need, width, sizes, who.",
        "spec.parameters[width]": "Input should be a valid integer, unable to parse string as an integer.",
        "spec.parameters[sizes][1]": "Input should be a valid integer, unable to parse string as an integer.",
        "spec.parameters[sizes][2]": "Input should be a valid integer, got a number with a fractional part.",
        "spec.parameters[who]": "id: Field required.",
    }


def test_some_parameters_alone(load_text: Load) -> None:
    """Where only some are given, as in a filter, they are converted as a submit's are, and none is
    missing.
    """
    registry = load_text("@job('it')\ndef it(ctx, need: int, ratio: float): ...")
    assert asyncio.run(registry.check("it", {"ratio": 1}, whole=False)) == {"ratio": 1.0}
    with pytest.raises(InvalidParameter, match="no such parameter"):
        asyncio.run(registry.check("it", {"rato": 1}, whole=False))


def test_what_no_value_holds_is_refused(load_text: Load) -> None:
    """A parameter that becomes what no value holds is a violation: a naive time, a number beyond 64
    bits.
    """
    registry = load_text("@job('it')\ndef it(ctx, at: datetime = None, n: int = 0): ...")
    assert _refused(registry, at="2026-01-01T00:00:00", n="9" * 30) == {
        "spec.parameters[at]": "A datetime has a time zone; this one is naive.",
        "spec.parameters[n]": "An int has at most 64 bits.",
    }


def test_a_kind_from_the_future_is_refused(load_text: Load) -> None:
    """A stored tag that this version does not know is a violation."""
    registry = load_text("@job('it')\ndef it(ctx, x): ...")
    with pytest.raises(InvalidParameter, match="newer version"):
        asyncio.run(registry.check("it", {"x": {"$": "colour", "v": 1}}))


def test_an_error_of_the_jobs_own_type_is_refused(load_text: Load) -> None:
    """A type of the job that raises while it is checked refuses the call, and does not break the
    server.
    """
    registry = load_text(
        """
        from pydantic import BeforeValidator
        def explode(value): raise TypeError("boom")
        @job("it")
        def it(ctx, x: Annotated[int, BeforeValidator(explode)]): ...
        """
    )
    assert "boom" in _refused(registry, x=1)["spec.parameters[x]"]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("KeyError('k')", "KeyError: 'k'"),
        ("RecursionError()", "RecursionError"),
        ("Mute()", "an error that cannot be described"),
        ("Exception('x' * 9999)", "Exception: " + "x" * 989),
        ("SystemExit('bye')", "SystemExit: bye"),
    ],
)
def test_whatever_a_validator_raises(load_text: Load, raised: str, said: str) -> None:
    """Whatever a type of the job raises at its check is a violation in bounded words, also one that
    cannot be described.
    """
    registry = load_text(
        f"""
        from pydantic import BeforeValidator
        class Mute(BaseException):
            def __str__(self): raise Mute()
            __repr__ = __str__
        def explode(value): raise {raised}
        @job("it")
        def it(ctx, x: Annotated[int, BeforeValidator(explode)]): ...
        """
    )
    ((_field, sentence),) = _refused(registry, x=1).items()
    assert sentence.endswith(f"signature: {said}")


def test_a_class_that_does_not_take_back_what_it_gives(load_text: Load) -> None:
    """Where the plain form of a checked value is not taken again, what was given is stored: the
    worker makes the same of it.
    """
    registry = load_text(
        """
        from pydantic import AfterValidator, Json
        def once(value):
            if value == "done": raise ValueError("twice")
            return "done"
        @job("it")
        def it(ctx, x: Annotated[str, AfterValidator(once)] = "", numbers: Json[list[int]] = "[]"):
            return [x, numbers]
        """
    )
    stored = _check(registry, x="go", numbers="[1, 2]")
    assert stored == {"x": "go", "numbers": "[1, 2]"}
    assert run_job(sys.modules["jobs_under_test"].it, **stored).result == ["done", [1, 2]]
    assert "numbers" in str(_refused(registry, numbers="[1, 'x']"))


def test_a_class_with_a_validator_of_its_own(load_text: Load) -> None:
    """A class of which JSON Schema can say nothing is a parameter like any other, and shown as one
    that takes anything.
    """
    registry = load_text(
        """
        from pydantic_core import core_schema
        class Money:
            def __init__(self, cents): self.cents = int(cents)
            @classmethod
            def __get_pydantic_core_schema__(cls, source, handler):
                back = core_schema.plain_serializer_function_ser_schema(lambda money: money.cents)
                return core_schema.no_info_plain_validator_function(cls, serialization=back)
        @job("it")
        def it(ctx, price: Money, n: int = 1): ...
        """
    )
    assert _check(registry, price="12") == {"price": 12, "n": 1}
    assert "invalid literal" in str(_refused(registry, price="much"))
    (info,) = registry.infos()
    assert json.loads(info.parameters_schema)["properties"]["price"] == {}


def test_what_is_told_of_a_type_is_bounded(load_text: Load) -> None:
    """A type whose words, defaults or schema are huge or no text is told in bounds, and runs: the
    others can be listed.
    """
    registry = load_text(
        f"""
        @job("it")
        def it(ctx, x: str = "x" * 100_000, y: float = float("nan"), z: str = "\\ud800", n: int = 3): ...
        it.__doc__ = "\\ud800\\0" + "d" * 100_000
        it.__module__ = None
        @job("many")
        def many(ctx, {", ".join(f"parameter_with_a_long_name_{number}: int = 0" for number in range(3000))}): ...
        """
    )
    info, many = registry.infos()
    assert info.description == "?" + "d" * 4095
    assert info.module == "None"
    assert json.loads(info.parameters_schema, parse_constant=pytest.fail)["properties"]["n"]["default"] == 3
    assert _check(registry) == {"n": 3}
    assert "larger than" in json.loads(many.parameters_schema)["$comment"]
    assert len(asyncio.run(registry.check("many", {}))) == 3000


@pytest.mark.parametrize(
    ("signature", "schema"),
    [
        ("def it(ctx, **rest): ...", True),
        ("def it(ctx, **rest: int): ...", {"type": "integer"}),
        ("def it(ctx, a=1): ...", False),
    ],
)
def test_more_parameters(load_text: Load, signature: str, schema: Any) -> None:
    """`**kwargs` accepts any names, of its annotation; without it there are no others."""
    registry = load_text(f"@job('it')\n{signature}")
    assert json.loads(registry.infos()[0].parameters_schema)["additionalProperties"] == schema
    if schema is False:
        assert "spec.parameters[b]" in _refused(registry, b=1)
    else:
        assert _check(registry, b=1, c=2) == {"b": 1, "c": 2}
    if schema not in (True, False):
        assert "spec.parameters[b]" in _refused(registry, b="x")


def test_no_annotations_accept_anything(load_text: Load) -> None:
    """A parameter without an annotation takes any value, and a class whose run has ctx alone any
    parameters.
    """
    registry = load_text("@job('it')\ndef it(ctx, x): ...")
    for value in (None, [1, {"a": b"x"}], File("x"), datetime(2026, 1, 1, tzinfo=UTC)):
        assert _check(registry, x=value) == {"x": value}


def test_a_class_that_declares_nothing(load_text: Load) -> None:
    """A class whose run has ctx alone takes any parameters, to be read with ctx.param."""
    registry = load_text("class It(Job):\n    type = 'it'\n    def run(self, ctx): return ctx.param('a')")
    assert _check(registry, a=Reference("x", "y")) == {"a": Reference("x", "y")}


def test_infos(load_text: Load) -> None:
    """A type tells its description, its defaults in microseconds, and the schemas of what it takes
    and gives.
    """
    registry = load_text(
        '''
        @job("it", retry_policy=RetryPolicy(3, timedelta(seconds=2), 1.5, timedelta(minutes=1)), attempt_timeout=timedelta(minutes=5))
        def it(ctx, file: File, width: int = 32, data: bytes = b"\\xff", at: date = date(2026, 1, 2)) -> list[Reference]:
            """Resize an
            image.

            At length.
            """

        @job("bare")
        def bare(ctx) -> None: ...
        '''
    )
    bare, info = registry.infos()
    assert (bare.type, bare.description, bare.result_schema, bare.defaults) == (
        "bare", "", "", TypeDefaults(RetryPolicy(), None),
    )  # fmt: skip
    assert (info.type, info.module, info.description) == ("it", "jobs_under_test", "Resize an image.")
    retry = RetryPolicy(3, 2_000_000, 1.5, 60_000_000)
    assert info.defaults == registry.defaults("it") == TypeDefaults(retry, 300_000_000)
    schema = json.loads(info.parameters_schema)
    assert schema["type"] == "object"
    assert schema["required"] == ["file"]
    assert schema["properties"]["width"] == {"type": "integer", "default": 32}
    assert schema["properties"]["at"]["default"] == "2026-01-02"
    assert "default" not in schema["properties"]["data"]
    assert schema["$defs"]["File"]["required"] == ["uri"]
    result = json.loads(info.result_schema)
    assert result["items"] == {"$ref": "#/$defs/Reference"}
    assert result["$defs"]["Reference"]["required"] == ["kind", "id"]


def test_an_unknown_type(load_text: Load) -> None:
    """An unknown type is refused with the field, what was meant and what there is."""
    registry = load_text("@job('image.resize')\ndef it(ctx): ...\n@job('other')\ndef other(ctx): ...")
    for call in (registry.defaults, lambda name: asyncio.run(registry.check(name, {}))):
        with pytest.raises(UnknownType) as caught:
            call("image.resise")
        assert caught.value.metadata == {"type": "image.resise"}
        assert caught.value.fields == (
            (
                "spec.type",
                "There is no type 'image.resise' here. Did you mean 'image.resize'? The types are: image.resize, other.",
            ),
        )
    assert registry.names == {"image.resize", "other"}


def test_no_types_at_all() -> None:
    """A server without jobs says so."""
    with pytest.raises(UnknownType, match="The types are: none"):
        asyncio.run(_load_here([]).check("x", {}))


def test_what_is_broken_is_told(load_text: Load) -> None:
    """A module or a signature that is broken is told behind the types, and the others load."""
    registry = load_text(
        "class Odd: ...\n@job('odd')\ndef odd(ctx, x: Odd): ...\n@job('it')\ndef it(ctx): ...",
        broken="raise ValueError('no key')",
    )
    it, *broken = registry.infos()
    assert it.type == "it"
    assert registry.names == {"it"}
    told = {info.module: info.load_error for info in broken}
    assert "ValueError: no key" in told["broken"]
    assert "jobs_under_test.odd" in told["jobs_under_test"]
    assert {info.type for info in broken} == {""}
