"""The pages say what is so: docs/testing.md runs as it stands, and no page names an RPC that there
is not.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.v1 import admin_service_pb2, job_service_pb2

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*/README.md")))
    if path.name != "acceptance.md"  # it lists what is to come, too
]
SERVICES = (
    *job_service_pb2.DESCRIPTOR.services_by_name.values(),
    *admin_service_pb2.DESCRIPTOR.services_by_name.values(),
)
RPCS = {method.name for service in SERVICES for method in service.methods}
LIKE_AN_RPC = re.compile(
    r"\b(?:Batch)?(?:Submit|Release|Queue|Run|Retry|Get|List|Count|Watch|Wait|Stop|Update|Delete|Purge|Pause|Resume|Move|Kill)"
    r"(?:Server|Job|Instance|Queue|Tenant|Gate)[A-Za-z]*\b"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_rpcs_that_there_are(page: Path) -> None:
    """What looks like one is one, or a message of one."""
    named = {re.sub(r"(Request|Response)$", "", word) for word in LIKE_AN_RPC.findall(page.read_text())}
    assert named <= RPCS


@pytest.mark.slow
def test_the_page_about_testing_runs(tmp_path: Path) -> None:
    """Its files, put into a folder, are tests that pass."""
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL):
        name = code.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(code)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path}/made",
        ".",
    ]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "HEADRACE_"))
    }
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout
