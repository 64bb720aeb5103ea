"""A module that is named more than once."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.jobs import Loaded, load

JOB = """from headrace.jobs import job
@job("once.job")
def run(ctx) -> int: return 1
"""


def test_a_module_is_looked_into_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own name and by that of its package: it has its jobs, and says once why it does not
    load.
    """
    package = tmp_path / "named_twice"
    (package / "deep").mkdir(parents=True)
    for name, text in (("__init__", ""), ("deep/__init__", ""), ("deep/jobs", JOB), ("broken", "1 / 0")):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    found: list[tuple[str, list[str]]] = []

    @contextmanager
    def around(name: str, loaded: Loaded) -> Iterator[None]:
        known = set(loaded.types)
        yield
        found.append((name, sorted(set(loaded.types) - known)))

    names = ["named_twice.deep.jobs", "named_twice", "named_twice.deep.jobs", "named_twice.broken"]
    try:
        loaded = load(names, entry_points=False, around=around)
    finally:
        for name in set(sys.modules) - before:
            if name.startswith("named_twice"):
                del sys.modules[name]
    assert sorted(found) == [
        ("named_twice", []),
        ("named_twice.broken", []),
        ("named_twice.deep", []),
        ("named_twice.deep.jobs", ["once.job"]),
    ]
    assert loaded.errors["named_twice.broken"].count("ZeroDivisionError") == 1
