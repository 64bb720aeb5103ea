"""What the shell completes by asking the server."""

import pytest
from cli.console import Script

pytestmark = pytest.mark.slow


def completed(script: Script, *words: str) -> list[str]:
    """What bash is offered for the last of the words."""
    asked = {
        "_HEADRACE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    return Script({**script.environment, **asked})().split()


def test_types_ids_and_statuses(headrace: Script, alone: Script) -> None:
    """Types are those of the server, ids those of the tenant's jobs; without a server there are
    none, and no noise.
    """
    job_id = headrace("submit", "test.noop", "--hold")
    assert completed(headrace, "headrace", "run", "image.") == ["image.resize"]
    assert completed(headrace, "headrace", "list", "--type", "files.") == ["files.checksum"]
    assert completed(headrace, "headrace", "get", job_id[:6]) == [job_id]
    assert completed(headrace, "headrace", "list", "--status", "RUN") == ["RUNNING"]
    assert completed(headrace, "headrace", "list", "--status", "run") == ["running"]
    assert completed(alone, "headrace", "run", "image.") == []
    assert completed(alone, "headrace", "--target", "http://x", "run", "image.") == []
    target = headrace.environment["HEADRACE_TARGET"]
    assert completed(alone, "headrace", "--target", target, "run", "image.") == ["image.resize"]
