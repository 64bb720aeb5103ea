"""A server that broadcasts under load while its broker is in trouble; and the troubles that a
broker can have.

with troubled(tmp_path, broker) as world:
    stopped(world)                  jobs go on to be submitted and to end meanwhile
    world.settle()                  everything has ended and was heard; gRPC and AMQP agree
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headrace import Client
from support import broadcast_judge
from support.broadcast_judge import judge
from support.checker_evidence import Evidence
from support.figures import figure, guard, seed
from support.listener import Listener
from support.phases import Doomed
from support.rabbitmq import Broker
from support.relay import Relay
from support.server import Server, until
from support.storm import IMPATIENT, WATCHERS, Storm
from support.storm_load import settle

MORE = figure(24, 240)
"""Jobs that are submitted in each trouble."""
HEARD_SECONDS = 60.0
QUICK = "heartbeat=2&blocked_connection_timeout=1&stack_timeout=2"
"""Of a URL: seconds after which a silent or a blocked connection is given up, for a test's
patience.
"""


class Pool:
    """Several servers as one: their clients are spread over them."""

    def __init__(self, servers: list[Doomed]) -> None:
        self._servers = servers
        self._made = 0

    def client(self, **options: Any) -> Client:
        """A client of all of them, that begins with another each time."""
        self._made += 1
        place = self._made % len(self._servers)
        targets = [server.target for server in (*self._servers[place:], *self._servers[:place])]
        return Client("ipv4:" + ",".join(targets), **options)


@dataclass
class World:
    """What is there."""

    broker: Broker
    servers: list[Doomed]
    listener: Listener
    link: Relay
    """Between the servers and the broker."""
    evidence: Evidence
    storm: Storm

    def goes_on(self, more: int = MORE) -> None:
        """So many more jobs are submitted, and answered."""
        self.storm.allowed += more
        wanted = WATCHERS // 2 + self.storm.allowed
        until(
            lambda: self.storm.errors or len(dict(self.evidence.submits)) >= wanted,
            "submits are answered",
            120,
        )
        assert not self.storm.errors, self.storm.errors

    def logged(self, text: str) -> int:
        """How many lines of the servers' logs contain this."""
        return sum(len(server.logged(text)) for server in self.servers)

    def says(self, text: str, times: int = 1) -> None:
        """Wait until a server has said this."""
        until(lambda: self.logged(text) >= times, f"it is said: {text}")

    def settle(self) -> broadcast_judge.Report:
        """Everything ends and is judged, by the checker and by what was heard.

        No caller had noticed anything.
        """
        self.storm.allowed = self.storm.jobs
        self.storm.submitted()
        report = settle(self.storm, self.evidence)
        self.listener.hears_the_end_of(report.jobs, HEARD_SECONDS)
        found = judge(self.listener.messages, broadcast_judge.histories(self.servers[0].target, report.jobs))
        until(lambda: not self.counters()["events_pending"], "nothing waits any more")
        return found

    def leader(self) -> Doomed:
        """The server that publishes."""

        def leading() -> Doomed | None:
            return next((one for one in self.servers if counters_of(one)["events_leading"]), None)

        return until(leading, "one of them leads")  # type: ignore[no-any-return]

    def counters(self) -> dict[str, int]:
        """Gauges and counters of the servers, added."""
        total: dict[str, int] = {}
        for server in self.servers:
            for name, value in counters_of(server).items():
                total[name] = total.get(name, 0) + value
        return total


@contextmanager
def troubled(
    folder: Path, broker: Broker, *, jobs: int, options: str = "", servers: list[Doomed] | None = None
) -> Iterator[World]:
    """Servers, by default one on SQLite, that reach their broker by a link; and so many jobs at
    most for them.
    """
    chosen = seed()
    with ExitStack() as ends:
        link = ends.enter_context(Relay(urlsplit(broker.url).netloc.rpartition("@")[2]))
        url = f"{broker.url.replace(f'127.0.0.1:{broker.port}', link.target)}?{options}"
        if servers is None:
            folder.joinpath("server").mkdir()
            servers = [Doomed(folder / "server", workers=2, drain_time=0.5)]
        listener = ends.enter_context(Listener(broker.url))
        for server in servers:
            server.settings["amqp_url"] = url
            ends.callback(server.close)
            server.start()
        evidence = Evidence(folder / "log")
        # Its servers are not killed: a call that takes longer than this is one that the broker has
        # disturbed.
        storm = Storm(Pool(servers), evidence, chosen, jobs, impatience=guard(IMPATIENT))
        ends.callback(storm.close)
        world = World(broker, servers, listener, link, evidence, storm)
        world.says("events go to the exchange", len(servers))
        storm.begin()
        world.goes_on()
        yield world


def counters_of(server: Server) -> dict[str, int]:
    """Gauges and counters of one server."""
    with server.client(timeout=60) as client:
        return dict(client.server_info().counters)


# The troubles: each is over at its end, and the load has gone on through it.


def stopped(world: World) -> None:
    """Stopped in order, away for a while, started."""
    world.broker.stop()
    world.says("no broker at", world.logged("no broker at") or 1)
    world.goes_on()
    world.broker.start()
    world.goes_on()


def killed(world: World) -> None:
    """Killed while it is published to, and started at once: twice."""
    for _ in range(2):
        world.storm.allowed += MORE  # they go on meanwhile
        heard = len(world.listener.messages)
        until(lambda heard=heard: len(world.listener.messages) > heard, "events are under way")  # type: ignore[misc] # mypy knows no defaults of lambdas
        world.broker.kill()
        world.broker.start()
        world.goes_on(0)
    world.goes_on()


def alarmed(world: World) -> None:
    """It is short of memory: it takes nothing, and tells."""
    with world.broker.alarm():
        world.goes_on()
        world.says("the broker takes nothing now")
        world.goes_on()
    world.goes_on()


def alarmed_for_long(world: World) -> None:
    """The same, longer than a connection waits."""
    with world.broker.alarm():
        world.goes_on()
        world.says("no broker at")
        world.goes_on()
    world.goes_on()


def exchange_deleted(world: World) -> None:
    """Somebody deletes the exchange; it is declared again, and later bound again."""
    before = world.logged("events go to the exchange")
    world.listener.delete_exchange()
    world.goes_on()
    world.says("events go to the exchange", before + 1)
    until(lambda: world.counters()["events_unroutable_total"], "some are given back")
    world.listener.bind()
    world.goes_on()


def binding_deleted(world: World) -> None:
    """Somebody deletes the binding, and makes it again."""
    world.listener.unbind()
    world.goes_on()
    until(lambda: world.counters()["events_unroutable_total"], "some are given back")
    world.listener.bind()
    world.goes_on()


def connections_closed(world: World) -> None:
    """Every connection is closed by the broker's management command, again and again."""
    for number in range(1, 4):
        world.storm.allowed += MORE  # they go on meanwhile
        world.broker.close_connections("for maintenance")
        world.says("for maintenance", number)
        world.says("events go to the exchange", number + 1)
    world.goes_on()


def heartbeats_lost(world: World) -> None:
    """The link falls silent: what is sent over it is lost, and no connection ends."""
    before = world.logged("no broker at")
    world.link.fall_silent()
    world.goes_on()
    world.says("no broker at", before + 1)
    world.goes_on()
    world.link.heal()
    world.goes_on()
