"""A COMMIT whose answer is lost, on PostgreSQL: the batch is settled, never doubled, and told once
(failure case 8).
"""

import asyncio
import random
import threading
import time
from collections import Counter
from typing import Any

import pytest
from contract.operations import now, submission, submit
from contract.tables import connected
from contract.test_writer import describe
from sqlalchemy import event

from headrace_server.domain.change import Change
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.store import SqlStore
from support.figures import figure, seed
from support.postgresql import Server

pytestmark = [pytest.mark.only("postgresql"), pytest.mark.slow]


def cut_at_commit(store: SqlStore, server: Server, *, carried_out: bool) -> None:
    """End the writer's backend at its next COMMIT: before it hears of it, or after it has carried
    it out.
    """
    engine = store._engines.writes

    def cut(connection: Any) -> None:
        event.remove(engine, "commit", cut)
        driver = connection.connection.driver_connection
        if carried_out:
            driver.commit()
        server.terminate(driver.info.dbname, "headrace writes")

    event.listen(engine, "commit", cut)


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_lost_commit_is_settled(
    store: SqlStore, postgresql: Server, commits: list[list[Change]], carried_out: bool
) -> None:
    """Whether the COMMIT was carried out or not, the callers are answered as if nothing had been,
    and all is stored and told once.
    """
    made = await submit(store)
    commits.clear()
    cut_at_commit(store, postgresql, carried_out=carried_out)
    asked = submission(request_id="r")
    answer, changed = await asyncio.gather(store.submit(asked), store.apply(made.job_id, describe("once")))
    assert not answer.existing
    assert await now(store, made) == changed.job
    assert changed.job.revision == made.revision + 1
    told = Counter(event.revision for changes in commits for done in changes for event in done.events)
    assert told == {1: 1, 2: 1}
    assert (await store.submit(submission(request_id="r"))).job.job.job_id == asked.job_id


async def test_commits_cut_at_any_moment(
    store: SqlStore, postgresql: Server, commits: list[list[Change]], url: str
) -> None:
    """Backends ended at random moments: what was answered is stored, what was refused is not or is
    found by its request_id, no event is doubled.
    """
    chance = random.Random(seed())
    name = str(store._engines.writes.url.database)
    over = threading.Event()
    ended = 0

    def cut() -> None:
        nonlocal ended
        while not over.is_set():
            time.sleep(chance.uniform(0.005, 0.03))
            ended += postgresql.terminate(name, "headrace writes")

    cutter = threading.Thread(target=cut)
    cutter.start()
    answered = refused = 0
    job = await persistent(store)
    for number in range(figure(300, 3000)):
        asked = submission(request_id=f"r{number}")
        outcomes = await asyncio.gather(
            store.submit(asked), store.apply(job, describe(str(number))), return_exceptions=True
        )
        assert all(isinstance(one, StoreUnavailable) for one in outcomes if isinstance(one, BaseException))
        answered += not isinstance(outcomes[0], BaseException)
        refused += isinstance(outcomes[0], BaseException)
    over.set()
    await asyncio.to_thread(cutter.join)
    print(f"{ended} backends ended, {answered} batches answered, {refused} refused")
    assert ended > 0
    assert answered > 0
    with connected(url) as connection:
        jobs = connection.exec_driver_sql("SELECT count(*) FROM job").scalar_one()
        doubled = connection.exec_driver_sql(
            "SELECT job_id FROM job LEFT JOIN job_event USING (job_id) "
            "GROUP BY job_id, job.revision HAVING count(*) <> job.revision"
        ).all()
    assert jobs == answered + 1
    assert doubled == []
    told = Counter(
        (event.job_id, event.revision) for changes in commits for done in changes for event in done.events
    )
    assert set(told.values()) == {1}


async def persistent(store: SqlStore) -> str:
    """A job, submitted until it is there."""
    while True:
        try:
            return (await submit(store)).job_id
        except StoreUnavailable:
            continue
