"""`headrace doctor`, as tests run it."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from cli.console import SCRIPT, Script, environment

from support.server import TESTS

NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
"""What is mounted in one goes with its last process."""


class Doctor:
    """The doctor of a set-up in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = Script(environment(PYTHONPATH=str(TESTS)))
        self.flags = {
            "database-url": f"sqlite:///{folder}/jobs.db",
            "address": "127.0.0.1:0",
            "workspace": f"{folder}/workspaces",
            "jobs": "",
            "workers": "0",
        }

    def words(self, **flags: str) -> list[str]:
        """Its command line."""
        given = {**self.flags, **{name.replace("_", "-"): text for name, text in flags.items()}}
        pairs = [(name, part) for name, text in given.items() for part in text.split(",") if part]
        return [
            "doctor",
            "--no-entry-points",
            *(word for name, part in pairs for word in (f"--{name}", part)),
        ]

    def finds(self, code: int, *, before: str = "", **flags: str) -> list[dict[str, Any]]:
        """What it finds, as machines read it; before: a shell's lines, in a mount namespace of
        their own.
        """
        words = [*self.words(**flags), "-o", "json"]
        if not before:
            return json.loads(self.script(*words, code=code))
        done = subprocess.run(
            [*NAMESPACE, "sh", "-ec", f"{before}\nexec {shlex.join([*SCRIPT, *words])}"],
            env=dict(self.script.environment), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


def of(findings: list[dict[str, Any]], subject: str) -> tuple[str, str]:
    """Level and text of the one finding about a subject."""
    (found,) = [finding for finding in findings if finding["subject"] == subject]
    return found["level"], found["text"]


def troubles(findings: list[dict[str, Any]]) -> list[str]:
    """The subjects that are not well."""
    return [finding["subject"] for finding in findings if finding["level"] != "ok"]
