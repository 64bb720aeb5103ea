"""A database whose file is taken away, or is none."""

import asyncio
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from contract.operations import now, stop, submit
from contract.tables import file_of

from headrace_server.domain import requests
from headrace_server.domain.change import Change
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.job import Job, Status
from headrace_server.store import SqlStore, StoreLock, StoreRefused
from headrace_server.store.opening import migrate

pytestmark = pytest.mark.only("sqlite")


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_was_taken_away(
    store: SqlStore, url: str, template: Path, commits: list[list[Change]], replaced: bool
) -> None:
    """A database file that is deleted or replaced under the store is STORE_UNAVAILABLE by name:
    nothing is answered that no restart would find; put back, it goes on.
    """
    made = await submit(store)
    commits.clear()
    path = file_of(url)
    aside = path.rename(path.with_name("aside"))
    if replaced:
        shutil.copy(template, path)
    there = sorted(path.parent.iterdir())
    for asked in (submit(store), now(store, made), stop(store, made)):
        with pytest.raises(StoreUnavailable, match=rf"{path} was deleted or replaced"):
            await asked
    # Also where no reader was connected yet: it must not make an empty database in its place.
    refused = await asyncio.gather(*(now(store, made) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in refused} == {StoreUnavailable}
    assert commits == []
    assert sorted(path.parent.iterdir()) == there
    aside.rename(path)
    assert await now(store, made) == made
    assert (await stop(store, made)).job.status is Status.ABORTED


async def test_nothing_is_written_behind_a_deletion(store: SqlStore, url: str) -> None:
    """A file deleted while a batch is being written takes the batch with it: its caller is told
    that it failed.
    """
    made = await submit(store)
    aside = file_of(url).with_name("aside")

    def change_and_delete(job: object, at: int) -> Change:
        file_of(url).rename(aside)
        return requests.update(job, at, fields={"description": "lost"}, etag="")  # type: ignore[arg-type]

    with pytest.raises(StoreUnavailable, match="was deleted"):
        await store.apply(made.job_id, change_and_delete)
    aside.rename(file_of(url))
    assert (await now(store, made)).description == ""
    described = partial(requests.update, fields={"description": "kept"}, etag="")
    await store.apply(made.job_id, described)
    assert (await now(store, made)).description == "kept"


async def test_a_damaged_page(url: str) -> None:
    """What lies on a damaged page is STORE_UNAVAILABLE, read or written, in SQLite's own words;
    what does not is answered.
    """
    first = SqlStore.open(url, durable=False)
    made = [await submit(first, description="x" * 3000) for _ in range(50)]
    await first.close()
    with file_of(url).open("r+b") as file:
        for page in range(44 * 4096, file.seek(0, os.SEEK_END), 4096):
            file.seek(page)
            file.write(b"\xff" * 4096)
    damaged = SqlStore.open(url, durable=False)
    reads = await asyncio.gather(*(now(damaged, job) for job in made), return_exceptions=True)
    writes = [await asyncio.gather(stop(damaged, job), return_exceptions=True) for job in made]
    await damaged.close()
    assert {type(answer) for answer in reads} == {Job, StoreUnavailable}
    assert {type(answer) for [answer] in writes} == {Change, StoreUnavailable}
    assert all("malformed" in str(answer) for answer in reads if isinstance(answer, StoreUnavailable))


CONTENTS = {
    "no database": (b"This is a letter, and no database at all. " * 200, "file is not a database"),
    "cut short": (b"SQLite format 3\0" + b"\1" * 84, "file is not a database"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_file_that_is_no_database(tmp_path: Path, kind: str) -> None:
    """A file that is no database, or is damaged, is refused at the start in a sentence that names
    it; it is left as it was.
    """
    contents, said = CONTENTS[kind]
    path = tmp_path / "jobs.db"
    path.write_bytes(contents)
    url = f"sqlite:///{path}"
    lock = StoreLock.take(url)
    with pytest.raises(StoreRefused, match=rf"{path} cannot be used: .*{said}"):
        migrate.upgrade(url)
    lock.release()
    assert path.read_bytes() == contents
