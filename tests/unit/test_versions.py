"""The versions that must agree: the generator's pin, the client's floors, and what the stubs were
stamped with.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
STUBS = ROOT / "client/headrace/v1"


def floor(package: str) -> str:
    """The oldest version of a package that the client allows."""
    (found,) = (d for d in PROJECT["project"]["dependencies"] if re.split(r"[>=<]", d)[0] == package)
    return found.removeprefix(f"{package}>=")


def padded(version: str) -> tuple[int, ...]:
    """Three numbers of a version."""
    numbers = [int(part) for part in version.split(".")]
    return tuple((*numbers, 0, 0)[:3])


def test_grpc_floor_is_the_generators_version() -> None:
    """The client's grpcio floor is the grpcio-tools that made the stubs, and the stubs say so."""
    (pin,) = (d for d in PROJECT["dependency-groups"]["proto"] if d.startswith("grpcio-tools=="))
    version = pin.removeprefix("grpcio-tools==")
    assert padded(floor("grpcio")) == padded(floor("grpcio-status")) == padded(version)
    for stub in STUBS.glob("*_pb2_grpc.py"):
        assert f"GRPC_GENERATED_VERSION = '{version}'" in stub.read_text()


def test_protobuf_floor_is_the_stamp_of_the_stubs() -> None:
    """The client's protobuf floor is the version that the stubs check for."""
    for stub in STUBS.glob("*_pb2.py"):
        stamp = re.search(r"# Protobuf Python Version: ([\d.]+)", stub.read_text())
        assert stamp is not None
        assert stamp[1] == floor("protobuf")


def test_the_client_is_light() -> None:
    """Without an extra, nothing is installed but grpcio, grpcio-status, protobuf and what they
    need.
    """
    names = {re.split(r"[>=<]", dependency)[0] for dependency in PROJECT["project"]["dependencies"]}
    assert names == {"grpcio", "grpcio-status", "protobuf"}
