"""What `make check` compares the contract with, and what comes of it, in small repositories."""

import subprocess
from pathlib import Path

import breaking
import pytest

BUF_YAML = "version: v2\nmodules:\n  - path: proto\nbreaking:\n  use:\n    - FILE\n"


def git(root: Path, *words: str) -> str:
    """Run git as somebody."""
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(root: Path, *fields: str) -> None:
    """A contract of one message with these fields, numbered as they come."""
    lines = "".join(f"  string {name} = {number};\n" for number, name in enumerate(fields, 1))
    (root / "proto/a").mkdir(parents=True, exist_ok=True)
    (root / "buf.yaml").write_text(BUF_YAML)
    (root / "proto/a/a.proto").write_text(f'syntax = "proto3";\npackage a;\nmessage A {{\n{lines}}}\n')


def commit(root: Path, message: str, *fields: str) -> str:
    """Commit such a contract."""
    write(root, *fields)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Main with two commits, the contract as it was given up once and as it is."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    commit(root, "first", "old")
    commit(root, "another name\n\nContract-Break: old was a bad name", "one")
    commit(root, "one more", "one", "two")
    return root


def test_a_branch_is_compared_with_main(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A field more passes; one that is taken away fails, and how to say that this is meant is told."""
    git(repository, "switch", "-q", "-c", "branch")
    commit(repository, "more", "one", "two", "three")
    assert breaking.main(repository) == 0
    assert "(main, where this left it)" in capfd.readouterr().out
    commit(repository, "less", "one")
    assert breaking.main(repository) != 0
    shown = capfd.readouterr()
    assert 'Previously present field "2"' in shown.out
    assert "Contract-Break: why" in shown.err


def test_what_main_has_got_since_is_no_break_of_the_branch(repository: Path) -> None:
    """A branch is compared with where it left main, not with what others have added there."""
    git(repository, "switch", "-q", "-c", "branch")
    commit(repository, "nothing", "one", "two")
    git(repository, "switch", "-q", "main")
    commit(repository, "more", "one", "two", "three")
    git(repository, "switch", "-q", "branch")
    assert breaking.main(repository) == 0


def test_a_break_that_is_meant_is_where_the_next_comparison_begins(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the line in its message it passes; a further break behind it does not."""
    git(repository, "switch", "-q", "-c", "branch")
    said = commit(repository, "less\n\nContract-Break: two was never used", "one")
    commit(repository, "nothing", "one")
    assert breaking.main(repository) == 0
    assert said[:12] in capfd.readouterr().out
    write(repository, "uno")
    assert breaking.main(repository) != 0


@pytest.mark.parametrize("detached", [False, True])
def test_a_fresh_clone_of_main_is_compared_with_the_last_meant_break(
    repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], detached: bool
) -> None:
    """Where main is all there is, as in CI, and where there is no main, everything since that
    commit has to fit.
    """
    commit(repository, "two is gone again", "one")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    if detached:
        git(clone, "checkout", "-q", "--detach")
        git(clone, "branch", "-q", "-D", "main")
        git(clone, "remote", "remove", "origin")
    assert breaking.main(clone) == 0
    assert "the last commit that says Contract-Break" in capfd.readouterr().out
    commit(clone, "and another", "uno")
    if not detached:
        git(clone, "remote", "remove", "origin")
    assert breaking.main(clone) != 0


def test_commits_of_main_that_are_not_pushed_are_compared_with_origins(
    repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """On main itself, ahead of origin/main, that is what others have."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    commit(clone, "less", "one")
    assert breaking.main(clone) != 0
    assert "(origin/main, where this left it)" in capfd.readouterr().out


def test_a_shallow_clone_says_that_only_what_is_not_committed_counts(
    repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its one commit is all that there is to compare with."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), str(clone))
    assert breaking.main(clone) == 0
    assert "the last commit: this is main" in capfd.readouterr().out
    write(clone, "one")
    assert breaking.main(clone) != 0


def test_without_git_there_is_nothing_to_compare_with(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A tree that was unpacked from an archive passes, and says so."""
    write(tmp_path, "one")
    assert breaking.main(tmp_path) == 0
    assert "nothing to compare" in capfd.readouterr().out
