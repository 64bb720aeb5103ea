"""The broker is in trouble under load: callers do not notice, and nothing that is broadcast is lost
or out of order.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace import Client
from support import troubled
from support.figures import figure
from support.listener import Listener
from support.rabbitmq import Broker
from support.server import Server, until
from support.troubled import MORE, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(120, 3600))]

JOBS = 6 * MORE
ROUNDS = figure(2, 10)
SUBMITS, WARM = figure(300, 1000), 20
TROUBLES: dict[Callable[[World], None], str] = {
    troubled.stopped: "",
    troubled.killed: "",
    troubled.alarmed: "",
    troubled.alarmed_for_long: troubled.QUICK,
    troubled.exchange_deleted: "",
    troubled.binding_deleted: "",
    troubled.connections_closed: "",
    troubled.heartbeats_lost: troubled.QUICK,
}
"""With what is added to the URL."""


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_nothing_is_lost(
    trouble: Callable[[World], None],
    own_rabbitmq: Broker,
    tmp_path: Path,
    announce: Callable[[str, str], None],
) -> None:
    """Stopped, killed, alarmed, unbound or cut off under load: no caller notices, and each event
    comes, in its order (failure cases 12, 13, 14, 15).
    """
    with troubled.troubled(tmp_path, own_rabbitmq, jobs=JOBS, options=TROUBLES[trouble]) as world:
        trouble(world)
        report = world.settle()
        assert not world.evidence.unanswered
    announce(f"the broker, {trouble.__name__.replace('_', ' ')}", str(report))


def test_submits_cost_the_same(
    own_rabbitmq: Broker, tmp_path: Path, announce: Callable[[str, str], None]
) -> None:
    """A submit takes as long with the broker away as with it there, round by round in one run
    (failure case 12).
    """
    up: list[float] = []
    down: list[float] = []
    with (
        Server(tmp_path, workers=0, amqp_url=own_rabbitmq.url) as server,
        server.client(timeout=60) as client,
    ):
        connected = lambda: client.server_info().counters["events_connected"]  # noqa: E731 - asked again and again
        Listener(own_rabbitmq.url).bind()
        for _ in range(ROUNDS):
            until(connected, "it is connected")
            up += latencies(client)
            own_rabbitmq.stop()
            until(lambda: not connected(), "it has noticed")
            down += latencies(client)
            own_rabbitmq.start()
        until(lambda: not client.server_info().counters["events_pending"], "all of them are out")
    (up_p50, up_p99), (down_p50, down_p99) = quantiles(up), quantiles(down)
    announce(
        "a submit, the broker down beside up",
        f"p50 {down_p50:.2f} ms beside {up_p50:.2f} ms: {down_p50 / up_p50:.2f} times; "
        f"p99 {down_p99:.2f} ms beside {up_p99:.2f} ms: {down_p99 / up_p99:.2f} times",
    )
    assert down_p50 <= figure(1.5, 1.1) * up_p50
    assert down_p99 <= figure(5, 1.1) * up_p99


def latencies(client: Client) -> list[float]:
    """Milliseconds of submits, one after the other; the first ones make connections."""
    found = []
    for _ in range(WARM + SUBMITS):
        began = time.perf_counter()
        client.submit("test.noop", hold=True)
        found.append(1000 * (time.perf_counter() - began))
    return found[WARM:]


def quantiles(found: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = statistics.quantiles(found, n=100)
    return cuts[49], cuts[98]
