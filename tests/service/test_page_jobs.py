"""docs/jobs.md: its modules are loaded by a server as they stand, and their jobs do what the page
says.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace import Client
from headrace.errors import InvalidParameter
from headrace.info import JobEvent, JobStatus, LoggedMessage
from headrace_server.testing import LocalServer

PAGE = Path(__file__).parents[2] / "docs/jobs.md"
ORDER = UUID(int=1)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that has loaded every module of the page."""
    folder = tmp_path_factory.mktemp("page")
    names = []
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        name = code.splitlines()[0].removeprefix("# ")
        (folder / name).write_text(code)
        names.append(name.removesuffix(".py"))
    with LocalServer(folder, jobs=names, path=[folder]) as server:
        yield server.target


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    """A client of it."""
    with Client(target) as connected:
        yield connected


def texts(client: Client, job_id: str) -> list[str]:
    """The messages of a job."""
    details = [event.detail for event in client.events(job_id)]
    return [detail.text for detail in details if isinstance(detail, LoggedMessage)]


@pytest.mark.parametrize(
    ("type_name", "parameters", "result"),
    [
        ("image.resize", {"file": "a.png", "width": 64}, {"pixels": 2048}),
        ("files.checksum", {"text": "abc"}, 38),
        ("anything", {"name": "Ada"}, "hello Ada"),
        ("pages.fetch", {"urls": ["a", "b"]}, 2),
        ("report", {}, 42),
        ("squares", {"numbers": [1, 2, 3]}, [1, 4, 9]),
        ("squares", {"numbers": [1, 2], "method": "forkserver"}, [1, 4]),
        ("squares", {"numbers": [2], "method": "spawn"}, [4]),
        ("python.version", {}, f"Python {sys.version.split()[0]}"),
        ("preview", {"words": ["a", "b"]}, ["A", "B"]),
        ("card.charge", {"cents": 5}, "attempt 2"),
    ],
)
def test_results(client: Client, type_name: str, parameters: dict[str, Any], result: Any) -> None:
    """Each job answers what the page says."""
    assert client.run(type_name, parameters).result == result


def test_a_worker_that_is_shared(client: Client) -> None:
    """A type says that its runs share a worker, and each has its own words and result."""
    assert [one.type for one in client.types() if one.concurrency > 1] == ["hook.call"]
    jobs = [client.submit("hook.call", {"url": f"u{number}"}) for number in range(20)]
    assert [job.result(30)["url"] for job in jobs] == [f"u{number}" for number in range(20)]
    assert [texts(client, job.job_id) for job in jobs] == [[f"calling u{number}"] for number in range(20)]


def test_a_process_of_its_own(client: Client) -> None:
    """Each run of a fresh type is in another process."""
    assert [one.type for one in client.types() if one.fresh] == ["legacy.convert"]
    results = [client.run("legacy.convert", {"text": "old news"}).result for _ in range(3)]
    assert {result["text"] for result in results} == {"Old News"}
    assert len({result["process"] for result in results}) == 3


def test_richer_values(client: Client) -> None:
    """Decimals, UUIDs, enums, paths and dataclasses go in and come out in the forms of the table."""
    items = [{"name": "pen", "price": Decimal("1.10")}, {"name": "ink", "price": "2.25"}]
    info = client.run("orders.total", {"order": ORDER, "items": items, "currency": "CHF"})
    assert info.result == {"sum": "3.35", "currency": "CHF", "invoice": f"out/{ORDER}.pdf"}
    assert info.results == {"order": str(ORDER), "dearest": {"name": "ink", "price": "2.25"}}
    with pytest.raises(InvalidParameter):
        client.submit("orders.total", {"order": "no id", "items": []})


def test_messages_and_output(client: Client) -> None:
    """What is printed and what is logged comes in order; half a line is a message too."""
    info = client.run("rows.import", {"rows": [1, -2]})
    said = texts(client, info.job_id)
    assert said[:3] == ["row -2 is left out reason='negative'", "imported", "told after what was printed"]
    assert sorted(said[3:]) == ["and this is later", "half a line"]


def test_a_declared_failure(client: Client) -> None:
    """ctx.fail has the code and the step, and is not tried again."""
    error = client.run("card.charge", {"cents": 0}).error
    assert error is not None
    assert (error.code, error.step) == ("AMOUNT", "check")


def test_a_stop(client: Client) -> None:
    """A stop reaches the job, whose clean-up reports the reason."""
    job = client.submit("patient")
    with closing(job.watch(after_revision=0, include_messages=True)) as updates:
        for update in updates:
            if isinstance(update, JobEvent) and isinstance(update.detail, LoggedMessage):
                break
    job.stop("enough")
    assert client.wait(job.job_id, 20).status is JobStatus.ABORTED
    assert texts(client, job.job_id) == ["waiting", "stopped: enough"]
