"""The programs of examples/clients, run against a real server as docs/clients.md says."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace import Client
from headrace_server.testing import LocalServer
from support import leaks
from support.server import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "examples/clients"
TREE = ROOT / "examples/photo"
"""What the programs have the checksum made of."""
BUF = Path(sys.executable).with_name("buf")
NODE_MODULES = ROOT / ".venv-node/node_modules"
GO_LIBRARIES = Path("/usr/share/gocode")
LIMIT = 60.0


class Program(NamedTuple):
    """One of the programs, ready to be run."""

    language: str
    words: list[str]

    def start(self, target: str, directory: Path) -> "subprocess.Popen[str]":
        """Run it on a server and a directory."""
        environment = {
            **os.environ,
            "HEADRACE_PROTO": str(ROOT / "proto"),
            "PATH": f"{BUF.parent}:{os.environ['PATH']}",
        }
        return subprocess.Popen(
            [*self.words, target, str(directory)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    @property
    def label(self) -> dict[str, str]:
        """What its jobs carry."""
        return {"from": self.language}


def need(*, fact: bool, otherwise: str) -> None:
    """Go on if a tool is there. In CI, and for root, who can install it, its want is a failure."""
    if not fact:
        missing = f"{otherwise}: make test-tools installs it"
        if os.environ.get("CI") or os.geteuid() == 0:
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where things are built, and where the server lives."""
    return tmp_path_factory.mktemp("languages")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LocalServer]:
    """A server with the example jobs."""
    made = LocalServer(folder, ["example_jobs.files"], path=[ROOT / "examples"])
    made.environment[leaks.MARK] = os.environ.get(
        leaks.MARK, ""
    )  # this fixture's, whichever test starts it again
    with made as running:
        yield running


@pytest.fixture(scope="module")
def client(server: LocalServer) -> Iterator[Client]:
    """What the test itself asks the server with."""
    with Client(server.target, wait_for_ready=True) as connected:
        yield connected


@pytest.fixture(scope="module")
def digest(client: Client) -> str:
    """What the programs have to print."""
    return str(client.run("files.checksum", {"path": str(TREE)}).result)


def node(folder: Path) -> list[str]:
    """The program for Node, beside the packages of its lock file."""
    need(
        fact=shutil.which("node") is not None and NODE_MODULES.is_dir(),
        otherwise=f"no node, or no {NODE_MODULES}",
    )
    program = folder / "node/checksum.js"
    program.parent.mkdir()
    for name in ("checksum.js", "package.json"):
        shutil.copy(CLIENTS / "node" / name, program.parent)
    (program.parent / "node_modules").symlink_to(NODE_MODULES)
    return ["node", str(program)]


def go(folder: Path) -> list[str]:
    """The program for Go, its stubs made by buf, built with the libraries that Debian has."""
    for tool in ("go", "protoc-gen-go", "protoc-gen-go-grpc"):
        need(fact=shutil.which(tool) is not None, otherwise=f"there is no {tool}")
    need(fact=(GO_LIBRARIES / "src/google.golang.org/grpc").is_dir(), otherwise="there is no gRPC for Go")
    source = folder / "gopath/src/checksum"
    shutil.copytree(CLIENTS / "go", source)
    subprocess.run([BUF, "generate", ROOT, "--template", "buf.gen.yaml"], cwd=source, check=True)
    built = folder / "checksum"
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": f"{folder}/gopath:{GO_LIBRARIES}",
        "GOFLAGS": "",
    }
    subprocess.run(["go", "build", "-o", built, "checksum"], cwd=source, env=environment, check=True)
    return [str(built)]


def curl(_folder: Path) -> list[str]:
    """The script, which needs buf alone."""
    return [str(CLIENTS / "curl/checksum.sh")]


@pytest.fixture(scope="module", params=[node, go, curl], ids=lambda made: made.__name__)
def program(request: pytest.FixtureRequest, folder: Path) -> Program:
    """Each of the programs."""
    return Program(request.param.__name__, request.param(folder))


def test_a_program_prints_what_its_job_returned(
    program: Program, server: LocalServer, client: Client, digest: str
) -> None:
    """Submitted, followed to its end, and its result on stdout; a label says who it was."""
    out, said = program.start(server.target, TREE).communicate(timeout=LIMIT)
    assert out.strip() == digest, said
    job_id = said.partition("submitted ")[2].split()[0]
    job = client.get(job_id)
    assert (job.status, job.spec.parameters["passes"]) == ("SUCCEEDED", 2)
    assert job.spec.labels == program.label


def test_a_program_says_why_its_job_failed(program: Program, server: LocalServer, folder: Path) -> None:
    """A job that fails is exit code 1, nothing on stdout, and the message of its error on stderr."""
    process = program.start(server.target, folder / "nowhere")
    out, said = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (1, "")
    assert f"{folder}/nowhere is no directory" in said


@pytest.mark.parametrize(
    "program", [node, go], ids=["node", "go"], indirect=True
)  # that of curl has no watch
def test_a_program_goes_on_over_a_restart_of_its_server(
    program: Program, server: LocalServer, client: Client, digest: str
) -> None:
    """The watch breaks, begins again behind the last event it had, and ends with the job."""
    client.pause_queue("default")
    process = program.start(server.target, TREE)
    until(lambda: client.server_info().counters["watchers"], "the job is watched", LIMIT)
    server.restart()
    client.resume_queue("default")
    out, said = process.communicate(timeout=LIMIT)
    assert out.strip() == digest, said
    assert said.splitlines().count("RUNNING") == 1, said
