"""headrace.jobs: how a module says that it has jobs, and how those are found."""

import functools
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace import jobs
from headrace._work.definition import definition_of
from headrace.jobs import Job, JobContext, Loaded, Resources, RetryPolicy, job, load, resource

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that can be imported, and answers its name."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(name: str, text: str) -> str:
        path = tmp_path / (name.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from headrace.jobs import *\nfrom typing import *\n" + textwrap.dedent(text))
        return name

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _load(*names: str) -> Loaded:
    return load(names, entry_points=False)


def test_importing_it_imports_the_standard_library_alone() -> None:
    """A worker that imports headrace.jobs has neither gRPC nor pydantic."""
    code = (
        "import sys, headrace.jobs, headrace.testing\n"
        "print({name.split('.')[0] for name in sys.modules} & {'grpc', 'google', 'pydantic'})"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_public_names() -> None:
    """The public names are sorted, exist, and errors are shown by them."""
    assert jobs.__all__ == sorted(jobs.__all__)
    assert all(hasattr(jobs, name) for name in jobs.__all__)
    assert jobs.JobStopped.__module__ == "headrace.jobs"


def test_a_marked_function_stays_callable() -> None:
    """@job gives the function back as it was."""

    @job("a.b", retry_policy=RetryPolicy(max_attempts=3), attempt_timeout=timedelta(minutes=5))
    def double(_ctx: JobContext | None, n: int) -> int:
        return 2 * n

    assert double(None, 4) == 8


@pytest.mark.parametrize("name", ["", "a b", "a*", ".a", "x" * 101, "ä"])
def test_a_bad_type_is_refused(name: str) -> None:
    """A type is 1 to 100 letters, digits, dots, underscores and hyphens."""
    with pytest.raises(ValueError, match="a job type is"):
        job(name)(lambda _ctx: None)


def test_a_mark_without_a_type_is_refused() -> None:
    """@job without its type, or on what is no function, says how to write it."""
    with pytest.raises(TypeError, match="needs a type"):
        job(lambda _ctx: None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="derives from"):
        job("a")(Job)
    with pytest.raises(ValueError, match="above zero"):
        job("a", attempt_timeout=timedelta(0))(lambda _ctx: None)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_attempts": 0},
        {"max_attempts": 1001},
        {"multiplier": 0.5},
        {"multiplier": float("inf")},
        {"multiplier": float("nan")},
        {"multiplier": 1000.5},
        {"multiplier": 1e160},
        {"initial_backoff": timedelta(-1)},
        {"initial_backoff": timedelta(days=366)},
        {"max_backoff": timedelta(-1)},
        {"max_backoff": timedelta.max},
    ],
)
def test_a_bad_retry_policy_is_refused(fields: dict[str, Any]) -> None:
    """Each field of a retry policy is checked."""
    with pytest.raises(ValueError, match=next(iter(fields))):
        RetryPolicy(**fields)


@pytest.mark.parametrize(
    "fields", [{"max_attempts": 2.5}, {"max_attempts": True}, {"initial_backoff": 5}, {"max_backoff": None}]
)
def test_a_retry_policy_of_other_types_is_refused(fields: dict[str, Any]) -> None:
    """A field that is no whole number, or no timedelta, is named."""
    with pytest.raises(TypeError, match=next(iter(fields))):
        RetryPolicy(**fields)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attempt_timeout": timedelta.max}, "longer than 10,000 years"),
        ({"attempt_timeout": 5}, "is a timedelta"),
        ({"retry_policy": 3}, "is a RetryPolicy"),
    ],
)
def test_what_a_type_says_is_bounded_as_a_submit_is(settings: dict[str, Any], words: str) -> None:
    """A type whose timeout or policy no job could have is refused where it is written, in a
    sentence that names it.
    """
    with pytest.raises((ValueError, TypeError), match=f"a.b is.*{words}|of a.b {words}"):
        job("a.b", **settings)(lambda _ctx: None)
    made = type("Made", (Job,), {"type": "a.b", "run": lambda _self, _ctx: None, **settings})
    with pytest.raises((ValueError, TypeError), match=words):
        definition_of(made)
    assert job("a.b", attempt_timeout=timedelta(days=10_000 * 365))


async def _coroutine(_ctx: JobContext) -> None: ...


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"concurrency": 0}, "from 1 to 1000, not 0"),
        ({"concurrency": 1001}, "from 1 to 1000, not 1001"),
        ({"concurrency": "many"}, "a whole number, not 'many'"),
        ({"concurrency": True}, "a whole number, not True"),
        ({"concurrency": 2, "fresh": True}, "both fresh and has a concurrency"),
    ],
)
def test_a_concurrency_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    """A concurrency that is no number of runs, or of a fresh type, is refused where it is written."""
    with pytest.raises((ValueError, TypeError), match=f"a.b.* {words}"):
        job("a.b", **settings)(_coroutine)


def test_only_coroutines_have_a_concurrency() -> None:
    """A plain function, a wrapper that is one, and a class with a plain run are refused with the way
    out; a coroutine is taken, as a class too.
    """
    with pytest.raises(ValueError, match=r"a\.b has a concurrency, and is no async def: only coroutines"):
        job("a.b", concurrency=2)(lambda _ctx: None)
    marked = job("a.b", concurrency=2)(_coroutine)
    found = definition_of(marked)
    assert found is not None
    assert found.concurrency == 2
    with pytest.raises(ValueError, match="is no async def"):
        definition_of(functools.wraps(marked)(lambda ctx, *_more: marked(ctx)))
    plain = type("Plain", (Job,), {"type": "a.b", "run": lambda _self, _ctx: None, "concurrency": 2})
    with pytest.raises(ValueError, match="is no async def"):
        definition_of(plain)
    found = definition_of(type("Made", (Job,), {"type": "a.b", "run": _coroutine, "concurrency": 2}))
    assert found is not None
    assert found.concurrency == 2


def test_functions_and_classes_are_found(write: Write) -> None:
    """A module's marked functions, its classes with a type of their own and its resources are
    found.
    """
    name = write(
        "found",
        """
        from datetime import timedelta

        @job("found.function", retry_policy=RetryPolicy(max_attempts=3), attempt_timeout=timedelta(minutes=5))
        def function(ctx, width: int = 3): ...

        class Base(Job):
            retry_policy = RetryPolicy(max_attempts=2)
            def run(self, ctx): ...

        class Class(Base):
            type = "found.class"

        @resource
        def database(): ...

        @resource("mail")
        def make_mail(): ...
        """,
    )
    loaded = _load(name)
    assert loaded.errors == {}
    assert loaded.types.keys() == {"found.function", "found.class"}
    function = loaded.types["found.function"]
    assert function.retry_policy.max_attempts == 3
    assert function.attempt_timeout == timedelta(minutes=5)
    assert loaded.types["found.class"].retry_policy.max_attempts == 2
    assert loaded.resources.keys() == {"database", "mail"}
    assert function.name == "found.function"


def test_a_job_that_another_module_imports_is_one_job(write: Write) -> None:
    """A package may gather the jobs of its modules, and be loaded beside them."""
    write("gathered.one", '@job("gathered.one")\ndef one(ctx): ...\n@resource\ndef thing(): ...')
    write("gathered.__init__", "from gathered.one import one, thing")
    loaded = _load("gathered", "gathered.one", "gathered")
    assert loaded.errors == {}
    assert loaded.types.keys() == {"gathered.one"}


def test_one_file_under_two_names_is_one_job(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is imported twice, as happens under pytest, registers its jobs once."""
    write("twice.inner", '@job("twice")\ndef one(ctx): ...\n@resource\ndef thing(): ...')
    monkeypatch.syspath_prepend(tmp_path / "twice")
    loaded = _load("twice.inner", "inner")
    assert loaded.errors == {}
    assert loaded.types.keys() == {"twice"}


def test_a_module_that_was_imported_before_is_loaded(write: Write) -> None:
    """Loading does not depend on who imported the module first, nor how often it is loaded."""
    name = write("again", '@job("again")\ndef one(ctx): ...')
    __import__(name)
    assert _load(name).types.keys() == _load(name).types.keys() == {"again"}


def test_two_jobs_of_one_type(write: Write) -> None:
    """The first job of a type is kept, and the second is an error that names both."""
    write("first", '@job("same")\ndef one(ctx): ...')
    write("second", '@job("same")\ndef two(ctx): ...\n@job("other")\ndef other(ctx): ...')
    loaded = _load("first", "second")
    assert loaded.types["same"].name == "first.one"
    assert loaded.types.keys() == {"same", "other"}
    assert loaded.errors == {"second": "Type 'same' of second.two is already that of first.one."}


def test_two_resources_of_one_name(write: Write) -> None:
    """The second resource of a name is an error."""
    write("third", "@resource\ndef thing(): ...")
    write("fourth", "@resource\ndef thing(): ...")
    assert "also made by third" in _load("third", "fourth").errors["fourth"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise ValueError('no key')", "ValueError: no key"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("def f():\n    raise OSError('deep')\nf()", "in f\n    raise OSError('deep')"),
    ],
)
def test_a_module_that_fails(write: Write, text: str, words: str) -> None:
    """A module that fails to import is told with its traceback, and the others load."""
    write("broken", text)
    write("sound", '@job("sound")\ndef one(ctx): ...')
    loaded = _load("broken", "not_there", "sound")
    assert words in loaded.errors["broken"]
    assert "importlib" not in loaded.errors["broken"]
    assert "No module named 'not_there'" in loaded.errors["not_there"]
    assert loaded.types.keys() == {"sound"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def one(): ...", "the first parameter of a job is its context"),
        ("def one(*, ctx): ...", "the first parameter of a job is its context"),
        ("def one(ctx, *args): ...", "parameter args cannot be given by name"),
        ("def one(ctx, a, /): ...", "parameter a cannot be given by name"),
        ("def one(ctx): yield", "does not yield"),
        ("def one(ctx, a: Missing): ...".replace("Missing", "'Missing'"), "'Missing' is not defined"),
    ],
)
def test_a_function_that_no_job_can_be(write: Write, text: str, words: str) -> None:
    """A function with a signature that no job can have is named, and the others load."""
    write("odd", f'@job("odd")\n{text}\n@job("even")\ndef even(ctx): ...')
    loaded = _load("odd")
    assert loaded.errors["odd"].startswith("one: ")
    assert words in loaded.errors["odd"]
    assert loaded.types.keys() == {"even"}


def test_a_class_without_run(write: Write) -> None:
    """A class with a type and no method run is an error."""
    write("empty", 'class Empty(Job):\n    type = "empty"')
    assert _load("empty").errors == {"empty": "Empty: job class Empty has no method run"}


@pytest.mark.parametrize(
    ("line", "right"),
    [("retry = RetryPolicy(3)", "retry_policy"), ("timeout = timedelta(minutes=5)", "attempt_timeout")],
)
def test_a_class_that_says_it_by_another_name_is_told(write: Write, line: str, right: str) -> None:
    """An attribute that looks like a setting and is none is refused, on a base class too, with the
    name it should have.
    """
    name = write(
        "missed",
        f"""
        from datetime import timedelta

        class Base(Job):
            {line}

        class Missed(Base):
            type = "missed"
            def run(self, ctx): ...
        """,
    )
    assert f"call it {right}" in _load(name).errors[name]


def test_a_class_may_have_attributes_of_its_own(write: Write) -> None:
    """A number called timeout is the job's own affair."""
    name = write(
        "own",
        """
        class Own(Job):
            type = "own"
            timeout = 30
            def run(self, ctx): ...
        """,
    )
    assert _load(name).errors == {}


def test_entry_points(write: Write, tmp_path: Path) -> None:
    """An installed package names its job modules by an entry point."""
    write("installed", '@job("installed")\ndef one(ctx): ...')
    info = tmp_path / "installed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headrace.jobs]\nmine = installed\n")
    assert "installed" in load([], entry_points=True).types
    assert load([], entry_points=False).types == {}


def test_a_package_is_all_its_modules(write: Write) -> None:
    """A package loads what its modules register at any depth, each once, and leaves out tests,
    skipped ones and __main__.
    """
    write("shop.__init__", "from shop.images import resize")
    write("shop.images", '@job("shop.resize")\ndef resize(ctx): ...')
    write("shop.deep.__init__", "")
    write("shop.deep.mail", '@job("shop.mail")\ndef mail(ctx): ...')
    write("shop.broken", "raise ValueError('no key')")
    write("shop.skipped", '@job("shop.skipped")\ndef skipped(ctx): ...')
    for name in ("__main__", "conftest", "test_mail", "tests.__init__"):
        write(f"shop.{name}", "raise AssertionError('imported')")
    seen = []

    @contextmanager
    def around(name: str, _loaded: Loaded) -> Iterator[None]:
        seen.append(name)
        yield

    loaded = load(["shop"], entry_points=False, skip={"shop.skipped"}, around=around)
    assert loaded.types.keys() == {"shop.resize", "shop.mail"}
    assert loaded.errors.keys() == {"shop.broken"}
    assert seen == ["shop", "shop.broken", "shop.deep", "shop.deep.mail", "shop.images"]


def test_an_entry_point_that_names_a_package(write: Write, tmp_path: Path) -> None:
    """It loads what the modules of the package register, as `--jobs` does; one that names no module
    is told, and the others load.
    """
    write("store.__init__", "")
    write("store.orders", '@job("store.write.commit_order")\ndef order(ctx): ...')
    info = tmp_path / "store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headrace.jobs]\nmine = store\nodd = ?\n")
    loaded = load([], entry_points=True)
    assert (
        loaded.types.keys()
        == {"store.write.commit_order"}
        == load(["store"], entry_points=False).types.keys()
    )
    assert loaded.errors == {"entry point 'odd' of my-store": "'?' names no module."}


def test_a_resource_is_made_once_and_closed(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Resources are made on first use, once, and those that yielded are closed, the last made
    first.
    """
    write(
        "resources",
        """
        log = []

        @resource
        def plain():
            log.append("plain")
            return object()

        @resource
        def first():
            log.append("first")
            yield 1
            log.append("first closed")

        @resource
        def second():
            yield 2
            log.append("second closed")
            raise ValueError("at close")
        """,
    )
    found = Resources(_load("resources").resources)
    log = sys.modules["resources"].log
    assert log == []
    assert found.plain is found.plain
    assert (found.first, found.second, found.first) == (1, 2, 1)
    found.close()
    assert log == ["plain", "first", "second closed", "first closed"]
    assert "at close" in capsys.readouterr().err


def test_a_resource_that_is_not_there() -> None:
    """An unknown resource is an AttributeError that names those there are."""
    with pytest.raises(AttributeError, match="no resource 'mail'; those there are: database"):
        _ = Resources(made={"database": 1}).mail


def test_a_resource_is_not_async() -> None:
    """A resource outlives the loop of a job, so an async one is refused."""

    async def connect() -> None: ...

    with pytest.raises(TypeError, match="outlives the event loop"):
        resource(connect)
