"""headrace._work.fingerprint: two versions of a type are told apart, and one is the same in every
process.
"""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from headrace import jobs

HEADER = """
import random, time
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, Callable, Literal, Optional, TypedDict
from pydantic import BaseModel, BeforeValidator, Field
from headrace.jobs import Job, JobContext, RetryPolicy, job

class Colour(Enum):
    RED = "red"

class Node(BaseModel):
    n: int = 0
    kids: "list[Node]" = []

@dataclass
class Point:
    x: int
    y: int = 0

"""
ONE = "@job('it')\ndef it(ctx, a: int, b: str = 'x'): ..."


def _prints(text: str) -> jobs.Fingerprint:
    scope: dict[str, Any] = {"__name__": "under_test"}
    exec(HEADER + textwrap.dedent(text), scope)  # noqa: S102 - modules of the test's own
    return jobs.fingerprint(scope["it"].__headrace_job__)


@pytest.mark.parametrize(
    "other",
    [
        "@job('it')\ndef it(ctx, a: int, c: str = 'x'): ...",
        "@job('it')\ndef it(ctx, a: float, b: str = 'x'): ...",
        "@job('it')\ndef it(ctx, a: int, b: str): ...",
        "@job('it')\ndef it(ctx, a: int, b: str = 'x', **more): ...",
        "@job('it')\ndef it(ctx, a: int, b: str | None = 'x'): ...",
        "@job('it')\ndef it(ctx, a: Annotated[int, Field(ge=1)], b: str = 'x'): ...",
        "@job('it')\ndef it(ctx, a: list[int], b: str = 'x'): ...",
    ],
)
def test_other_parameters(other: str) -> None:
    """Another name, annotation, constraint or requirement of a parameter is another version."""
    assert _prints(other).takes != _prints(ONE).takes
    assert _prints(other).settings == _prints(ONE).settings


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: Colour", "a: Literal['red']"),
        ("a: Literal['red']", "a: Literal['red', 'blue']"),
        ("a: Annotated[int, Field(ge=1)]", "a: Annotated[int, Field(ge=2)]"),
        ("a: Callable[[int], int]", "a: Callable[[str], int]"),
        ("a: Node", "a: Point"),
    ],
)
def test_other_annotations(before: str, after: str) -> None:
    """Values, constraints and classes inside an annotation count."""
    first, second = (_prints(f"@job('it')\ndef it(ctx, {one}): ...") for one in (before, after))
    assert first.takes != second.takes


def test_other_fields_of_a_class() -> None:
    """A class with the same name and another field, or member, is another version."""
    use = "@job('it')\ndef it(ctx, a: list[Mine]): ..."
    texts = [
        "@dataclass\nclass Mine:\n    x: int\n",
        "@dataclass\nclass Mine:\n    x: int\n    y: int = 0\n",
        "class Mine(BaseModel):\n    x: str\n",
        "class Mine(Node):\n    x: str\n",
        "class Mine(Enum):\n    A = 1\n",
        "class Mine(Enum):\n    A = 1\n    B = 2\n",
        "class Mine(TypedDict):\n    x: 'Mine'\n",
    ]
    assert len({_prints(text + use).takes for text in texts}) == len(texts)


@pytest.mark.parametrize(
    "other",
    [
        "@job('it', attempt_timeout=timedelta(1))\ndef it(ctx, a: int, b: str = 'x'): ...",
        "@job('it', retry_policy=RetryPolicy(2))\ndef it(ctx, a: int, b: str = 'x'): ...",
        "@job('it', workspace=True)\ndef it(ctx, a: int, b: str = 'x'): ...",
        "@job('it', fresh=True)\ndef it(ctx, a: int, b: str = 'x'): ...",
        "@job('it', concurrency=2)\nasync def it(ctx, a: int, b: str = 'x'): ...",
    ],
)
def test_other_settings(other: str) -> None:
    """Settings are told apart from parameters."""
    assert _prints(other).settings != _prints(ONE).settings
    assert _prints(other).takes == _prints(ONE).takes


RICH = """
from pathlib import Path
from uuid import UUID, uuid4
numbers = frozenset({"a", "b", "c", "d"})
@job("it")
def it(
    ctx, a: Literal[tuple(numbers)], b: Annotated[int, BeforeValidator(lambda value: value), numbers], c: Node,
    d: Optional[Point] = None, e: float = time.time(), f: UUID = uuid4(), g: Any = object(), *, h: "Path" = Path.cwd(),
): ...
"""


def test_the_same_in_every_process(tmp_path: Path) -> None:
    """Defaults that are made at the import, lambdas and sets make no other version in another
    process, and pydantic is not asked.
    """
    (tmp_path / "same.py").write_text(HEADER + RICH)
    plain = "from headrace.jobs import job\n@job('it')\ndef it(ctx, a: int): ...\n"
    (tmp_path / "plain.py").write_text(plain)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from headrace import jobs; import plain\n"
        "jobs.fingerprint(plain.it.__headrace_job__); assert 'pydantic' not in sys.modules\n"
        "import same; print(*jobs.fingerprint(same.it.__headrace_job__))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, tmp_path],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
