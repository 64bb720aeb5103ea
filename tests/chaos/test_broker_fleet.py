"""Two instances broadcast from one database: whoever of them publishes is killed while it does."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from support.figures import figure
from support.fleet import LEASE, fleet
from support.phases import Doomed
from support.rabbitmq import Broker
from support.server import until
from support.storm import SUBMITTERS
from support.troubled import MORE, counters_of, troubled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(300, 7200))]

KILLS = figure(2, 20)
JOBS = figure(300, 2000)
EACH = (JOBS - MORE) // (KILLS + 1) // SUBMITTERS * SUBMITTERS
"""Jobs that are submitted between two kills."""
BACKLOG = 100
"""Events that wait when the kill is near: to publish them takes a while."""


def test_the_publisher_is_killed_while_it_publishes(
    own_rabbitmq: Broker, shared_url: str, tmp_path: Path, announce: Callable[[str, str], None]
) -> None:
    """The other goes on within the lease, and each event of all jobs has come, in its order
    (failure cases 1, 12, 13).
    """
    with fleet(tmp_path, shared_url) as made:
        servers = [made.make(name, Doomed, workers=2, drain_time=0.2) for name in ("first", "second")]
        with (
            psycopg.connect(shared_url, autocommit=True) as database,
            troubled(tmp_path, own_rabbitmq, jobs=JOBS, servers=servers) as world,  # type: ignore[arg-type] # as made
        ):
            left = []
            for _ in range(KILLS):
                with own_rabbitmq.alarm():
                    world.goes_on(EACH)
                    until(lambda: waiting(database) >= BACKLOG, "events wait", 60)
                    leader = world.leader()
                    heard = len(world.listener.messages)
                until(lambda heard=heard: len(world.listener.messages) > heard, "it publishes")
                leader.kill()
                left.append(waiting(database))
                (other,) = [one for one in servers if one is not leader]
                until(lambda other=other: counters_of(other)["events_leading"], "the other leads", 10 * LEASE)  # type: ignore[arg-type, misc] # as made
                leader.gone()
                leader.start()
            report = world.settle()
    announce(
        "two instances, the publisher killed",
        f"{KILLS} kills of the one that publishes, with {left} events in the outbox; {report}",
    )
    assert min(left) > 0


def waiting(database: psycopg.Connection) -> int:
    """How many events are in the outbox."""
    found = database.execute("SELECT count(*) FROM outbox").fetchone()
    return int(found[0]) if found else 0
