"""RabbitMQ for tests: one node for the session (support.services), a virtual host of its own for
each test that asks.

rabbitmq        the URL of a fresh virtual host; in the broker that HEADRACE_TEST_AMQP_URL names, if it does
own_rabbitmq    a broker that the test may stop, kill, alarm and cut; its url is that of a fresh virtual host
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import given_broker, services
from support.rabbitmq import GIVEN, Address, Broker, Node, own


@pytest.fixture(scope="session")
def rabbitmq_node(request: pytest.FixtureRequest) -> Node | None:
    """The node of this session; None where a broker is given."""
    if os.environ.get(GIVEN):
        return None
    if address := services.started(request.config, services.RABBITMQ):
        node = Node(Address(*address))
        node.serve()
        return node
    made: Broker = request.getfixturevalue("rabbitmq_own_node")
    return made


@pytest.fixture(scope="session")
def rabbitmq_own_node() -> Iterator[Broker]:
    """A node that tests may break, which nobody else uses meanwhile."""
    with _node() as node:
        yield node


@pytest.fixture
def rabbitmq(rabbitmq_node: Node | None) -> Iterator[str]:
    """A virtual host of this test's own."""
    with rabbitmq_node.vhost() if rabbitmq_node else given_broker.vhost(os.environ[GIVEN]) as url:
        yield url


@pytest.fixture
def own_rabbitmq(rabbitmq_own_node: Broker) -> Iterator[Broker]:
    """A running broker whose url is that of a virtual host of this test's own; whatever the test
    does, it runs afterwards.
    """
    with rabbitmq_own_node.vhost():
        yield rabbitmq_own_node
        if not rabbitmq_own_node.running:
            rabbitmq_own_node.start()


@contextmanager
def _node() -> Iterator[Broker]:
    """A missing one fails in CI and for root, who can install it; else its tests are skipped."""
    made = own()
    try:
        node = made.__enter__()
    except FileNotFoundError as missing:
        if os.environ.get("CI") or os.geteuid() == 0:
            raise
        pytest.skip(str(missing))
    try:
        yield node
    finally:
        made.__exit__(None, None, None)
