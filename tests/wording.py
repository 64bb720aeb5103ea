"""The words of the house: names that gave way to the field's own, and prose that runs too wide.

    python tests/wording.py           says where; part of `make check`

docs/glossary.md says which words stay. Drawings and tables may be wider than prose, which is why
ruff's own rule (W505) is not asked.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from subprocess import check_output

WIDTH = 100

INSTEAD = {
    "Broadcasting": "OutboxRelay",
    "carry_out": "apply",
    "CatchUp": "Reconciler",
    "ChildLine": "ChildConnection",
    "chronicle": "job_log",
    "deafen": "unwatch",
    "deal": "round",
    "deeds": "operations",
    "Desk": "LateHandler, or CommandHandler",
    "desk": "handler",
    "fate": "disposition",
    "Fate": "Disposition",
    "ladder": "escalation",
    "Ladder": "StopEscalation",
    "lap": "round",
    "ledger": "unit, or runs",
    "Ledger": "UnitOfWork, or RunTracker",
    "Lives": "Membership",
    "mention": "publish_progress",
    "Pile": "PendingAcks",
    "rage": "load",
    "Replaced": "StaleClaim",
    "seat": "slot",
    "seats": "slots",
    "Seat": "FreeSlot",
    "seating": "slot_table",
    "Seating": "SlotTable",
    "Settled": "Ack",
    "Silence": "NoRelay",
    "survey": "inspect_postgresql",
    "Swept": "SweepResult",
    "verbs": "requests",
}
"""A name that was, and the word that the field has for it."""

_TABLE = re.compile(r"\s*\|")
_DRAWN = re.compile(r"[─═│┌┐└┘├┤┬┴┼▼▲►◄▪━→·]|[<─-]─>|\S {2,}\S")
"""What only drawings and tables have, in a line without its indentation."""
_PRAGMA = re.compile(r"# (noqa|type:|pragma)")
_FENCE = re.compile(r"\s*```")


def files(*patterns: str) -> Iterator[Path]:
    """The files of the checkout that match, but those that are generated."""
    listed = check_output(["git", "ls-files", *patterns], text=True).splitlines()
    return (Path(name) for name in listed if "/v1/" not in name or name.endswith(".proto"))


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The names that a module gives or uses, with their lines."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield node.lineno, name
            case ast.alias(name=name):
                yield from ((node.lineno, part) for part in name.split("."))


def old_names(path: Path) -> Iterator[str]:
    """Sentences about names of a file that gave way to others."""
    for line, name in names(ast.parse(path.read_text())):
        if (word := INSTEAD.get(name.strip("_"))) is not None:
            yield f"{path}:{line}: {name} gave way to: {word}"


def wide_lines(path: Path) -> Iterator[str]:
    """Sentences about lines of a page, or comments of the contract, that run over."""
    code = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code ^= bool(_FENCE.match(line))
        prose = (
            "//" in line
            if path.suffix == ".proto"
            else not (code or _TABLE.match(line) or line[:4] == "    ")
        )
        if prose and len(line) > WIDTH and " " in line.strip()[2:]:
            yield f"{path}:{number}: {len(line)} columns; prose has {WIDTH}"


def wide_comments(path: Path) -> Iterator[str]:
    """Sentences about lines of comments and docstrings that run over."""
    text = path.read_text()
    lines, seen = text.splitlines(), set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and '"""' in token.string):
            seen |= set(range(token.start[0], token.end[0] + 1))
    for number in sorted(seen):
        line = lines[number - 1]
        prose = not (_DRAWN.search(line.strip()) or _PRAGMA.search(line) or " " not in line.strip(" #"))
        if prose and len(line) > WIDTH:
            yield f"{path}:{number}: {len(line)} columns; prose has {WIDTH}"


def main() -> int:
    """Print what is found; 1 when anything is."""
    found = [
        sentence for path in files("*.py") for sentence in old_names(path) if path.name != Path(__file__).name
    ]
    found += [sentence for path in files("*.md", "*.proto") for sentence in wide_lines(path)]
    print("\n".join(found) or "wording: every name and every line is as the house has them")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
