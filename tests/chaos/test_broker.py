"""The broker is in trouble under load: callers do not notice, and nothing that is broadcast is lost or out of order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support import troubled
from support.figures import figure
from support.rabbitmq import Broker
from support.troubled import MORE, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(120, 3600))]

JOBS = 6 * MORE
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
    trouble: Callable[[World], None], own_rabbitmq: Broker, tmp_path: Path, told: Callable[[str, str], None]
) -> None:
    """Stopped, killed, alarmed, unbound or cut off under load: no caller notices, and each event comes, in its order (failure cases 12, 13, 14, 15)."""
    with troubled.troubled(tmp_path, own_rabbitmq, jobs=JOBS, options=TROUBLES[trouble]) as world:
        trouble(world)
        report = world.settle()
        assert not world.evidence.unanswered
    told(f"the broker, {trouble.__name__.replace('_', ' ')}", str(report))
