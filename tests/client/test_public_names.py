"""The public face: which names there are, and what loading them costs."""

import inspect
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

import headrace
from headrace import _version, aio, client, handle


def test_the_public_names_are_these() -> None:
    """A name that is added or taken away is a decision."""
    assert headrace.__all__ == [
        "AsyncClient",
        "Client",
        "File",
        "HeadraceError",
        "JobAborted",
        "JobFailed",
        "JobHandle",
        "JobInfo",
        "JobStatus",
        "Progress",
        "Reference",
        "RetryPolicy",
    ]
    assert all(getattr(headrace, name).__name__ == name for name in headrace.__all__)
    assert set(headrace.__all__) | {"__version__"} <= set(dir(headrace))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    assert not hasattr(headrace, "nonsense")


def test_a_source_tree_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it does not know."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_version, "version", missing)
    assert _version.read() == "0+unknown"


def test_workers_load_no_grpc() -> None:
    """headrace.jobs, and the errors and values of the client, load neither gRPC nor protobuf."""
    loaded = (
        "import headrace, headrace.jobs, headrace.values, headrace.errors, headrace.info, sys;"
        "print([name for name in ('grpc', 'google.protobuf', 'headrace.client') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_client_needs_no_server_package() -> None:
    """headrace_server, pydantic and SQLAlchemy stay unloaded."""
    loaded = (
        "import headrace, sys; headrace.Client; headrace.AsyncClient;"
        "print([name for name in ('headrace_server', 'pydantic', 'sqlalchemy', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_client_loads_nothing_of_job_authors() -> None:
    """Neither `import headrace` nor a use of each of its public names loads headrace.jobs or the
    room behind it.
    """
    loaded = (
        "import headrace, headrace.options, headrace.info, sys; [getattr(headrace, name) for name in headrace.__all__];"
        "print([name for name in sys.modules if name.startswith(('headrace._work', 'headrace.jobs'))])"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def methods(kind: type) -> dict[str, list[inspect.Parameter]]:
    """The public methods of a class and what they take."""
    return {
        name: list(inspect.signature(method).parameters.values())
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_verbs() -> None:
    """Same names, same arguments, same defaults; and so have both handles."""
    assert methods(client.Client) == methods(aio.AsyncClient)
    assert methods(handle.JobHandle) == methods(handle.AsyncJobHandle)


def docstrings(kind: type) -> str:
    """All that a class and its public methods say of themselves."""
    return "\n".join(
        [inspect.getdoc(kind) or "", *(inspect.getdoc(getattr(kind, name)) or "" for name in methods(kind))]
    )


@pytest.mark.parametrize("kind", [client.Client, handle.JobHandle])
def test_the_blocking_form_says_nothing_of_asyncio(kind: type) -> None:
    """Its docstrings name no event loop, no task and no AsyncClient."""
    assert not re.findall(r"await|[Aa]sync|event loop|its task|this task", docstrings(kind))
