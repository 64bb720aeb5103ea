"""The environment of a peer: .venv-bench-NAME, made from its requirements.txt when that has
changed.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment, which is made first when it is missing or old."""
    wanted = Path(__file__).parent / name / "requirements.txt"
    folder = ROOT / f".venv-bench-{name}"
    python, made = folder / "bin" / "python", folder / "requirements.txt"
    if not made.exists() or made.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "-qq", "install", "-r", wanted], check=True)
        made.write_text(wanted.read_text())
    return python


def versions_of(name: str) -> str:
    """The pinned packages, as they are shown."""
    wanted = Path(__file__).parent / name / "requirements.txt"
    return " ".join(line.replace("==", " ") for line in wanted.read_text().split())
