"""The blocking client, made from the one for asyncio by unasync: `make sync` writes it,
`make sync-check` compares it.

unasync takes away `async` and `await` and renames; docstrings say the same for both forms, except
for the phrases below.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

METHODS = Path(__file__).parents[1] / "client/headrace/_methods"
RULE = {
    "AsyncAdminMethods": "AdminMethods",
    "AsyncBatch": "Batch",
    "AsyncBatchMethods": "BatchMethods",
    "AsyncBulkMethods": "BulkMethods",
    "AsyncCalls": "Calls",
    "AsyncClient": "Client",
    "AsyncJobHandle": "JobHandle",
    "AsyncJobMethods": "JobMethods",
    "AsyncMethods": "Methods",
    "AsyncTransport": "Transport",
    "aclosing": "closing",
    "aio": "sync",
    "aio_calls": "calls",
}
PHRASES = {
    """For one event loop.

    It connects when first used, and belongs to the loop that runs then. watch, list and events give
    asynchronous iterators. Cancelling a task that follows a job leaves the job alone.
""": "Thread-safe.\n\n    It connects when first used.\n",
    "The callbacks are called in this task": "The callbacks are called on this thread",
    "when its task is cancelled or at any other": "on Ctrl-C or at any other",
    "of AsyncClient ": "of Client ",
    "of an AsyncClient.": "of a Client.",
    "in the form for asyncio: the one that is written by hand.": "in the form that blocks.",
}
HEADER = "# Made by `make sync` from ../aio/{}: change that.\n"


def generate(into: Path) -> None:
    """Writes the blocking form of each file, in the shape that the linter wants."""
    rule = unasync.Rule("/aio/", "/sync/", RULE)
    unused = set(PHRASES)
    for source in sorted((METHODS / "aio").glob("*.py")):
        text = source.read_text()
        unused -= {phrase for phrase in PHRASES if phrase in text}
        for phrase, blocking in PHRASES.items():
            text = text.replace(phrase, blocking)
        copy = into / "aio" / source.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(text)
        unasync.unasync_files([str(copy)], [rule])
        made = into / "sync" / source.name
        made.write_text(HEADER.format(source.name) + made.read_text())
    if unused:
        sys.exit(f"No docstring in {METHODS / 'aio'} has: {', '.join(map(repr, unused))}")
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    config = ["--config", str(METHODS.parents[2] / "pyproject.toml")]
    subprocess.run([*ruff, "check", "--quiet", "--select=I", "--fix", *config, into / "sync"], check=True)
    subprocess.run([*ruff, "format", "--quiet", *config, into / "sync"], check=True)


def main() -> None:
    """Writes, or with --check compares."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        made = {path.name: path.read_text() for path in (Path(scratch) / "sync").glob("*.py")}
    target = METHODS / "sync"
    if "--check" in sys.argv:
        there = {path.name: path.read_text() for path in target.glob("*.py")}
        wrong = sorted(name for name in {*made, *there} if made.get(name) != there.get(name))
        if wrong:
            sys.exit(f"{', '.join(wrong)} in {target} is not what ../aio gives: run 'make sync'")
        return
    for path in target.glob("*.py"):
        path.unlink()
    for name, text in made.items():
        (target / name).write_text(text)


if __name__ == "__main__":
    main()
