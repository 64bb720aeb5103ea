"""A part of `make check`: the contract in proto/ still serves whoever has an older copy of it
(`buf breaking`).

What it is compared with is said first:

1. main, or origin/main, where the checkout is on another commit: the contract as it was where the
   two parted.
2. On main itself, so in CI, the newest commit whose message has a line `Contract-Break: why`.
3. Where the history ends before there is one, as in a shallow clone, the last commit: then what is
   not committed counts.

A break that is meant is committed with that line, and what comes after it is compared with that
commit.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BUF = Path(sys.executable).with_name("buf")
MEANT = "Contract-Break: "
REFS = {"main": "refs/heads/main", "origin/main": "refs/remotes/origin/main"}


class Base(NamedTuple):
    """What the contract is compared with."""

    commit: str
    why: str


def git(root: Path, *words: str) -> str:
    """What git says; nothing where it fails."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def base(root: Path) -> Base | None:
    """What to compare with; None where there is no history at all."""
    head = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head:
        return None
    parted = next(_parted(root, head), None)
    meant = git(
        root, "log", "-1", "--format=%H", f"--grep=^{MEANT}", f"{parted.commit}..HEAD" if parted else "HEAD"
    )
    if meant:
        return Base(meant, f"the last commit that says {MEANT.strip()}")
    return parted or Base(
        head, "the last commit: this is main, and its history here has no line Contract-Break"
    )


def _parted(root: Path, head: str) -> Iterator[Base]:
    for name, ref in REFS.items():
        tip = git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        if tip and tip != head:
            yield Base(git(root, "merge-base", tip, head) or tip, f"{name}, where this left it")


def compare(root: Path, commit: str) -> subprocess.CompletedProcess[str]:
    """Run buf on the checkout and on a commit of it."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as before:
        subprocess.run(
            ["git", "archive", "-o", before.name, commit, "buf.yaml", "proto"], cwd=root, check=True
        )
        return subprocess.run(
            [BUF, "breaking", "--against", before.name], cwd=root, capture_output=True, text=True, check=False
        )


def main(root: Path) -> int:
    """Compare, say with what and what came of it, and answer the exit code."""
    found = base(root)
    if found is None:
        print("buf breaking: git knows no commit here, so there is nothing to compare the contract with")
        return 0
    print(f"buf breaking: the contract, beside that of {found.commit[:12]} ({found.why})", flush=True)
    done = compare(root, found.commit)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    if done.returncode:
        print(
            f"The contract breaks whoever uses the one before. Make the change in another way, such as a field or a "
            f"method beside the old one; or, if the break is meant, commit it with a line '{MEANT}why'.",
            file=sys.stderr,
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(ROOT))
