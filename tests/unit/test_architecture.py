"""docs/architecture.md: what it says of files is so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
ROW = re.compile(r"\| [^|]+ \| `([\w/]+\.py)` \| (.+) \|")


def decisions() -> Iterator[tuple[str, str]]:
    """Each file and name of the table "Where is it decided?"."""
    _, _, table = PAGE.read_text().partition("## Where is it decided?")
    for file, names in ROW.findall(table):
        for name in re.findall(r"`([\w.]+)`", names):
            yield file, name


def defined(tree: ast.Module) -> Iterator[str]:
    """The classes, methods, functions and constants of a module."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name, body=body):
                yield name
                yield from (f"{name}.{one.name}" for one in body if hasattr(one, "name"))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def test_there_is_a_table() -> None:
    """It names some forty behaviours."""
    assert len(list(decisions())) > 40


@pytest.mark.parametrize(("file", "name"), list(decisions()))
def test_what_decides_is_there(file: str, name: str) -> None:
    """The file that decides a behaviour exists, and what it is said to decide it by stands in it."""
    path = ROOT / file if file.startswith("client/") else ROOT / "server" / "headrace_server" / file
    assert name in set(defined(ast.parse(path.read_text())))
