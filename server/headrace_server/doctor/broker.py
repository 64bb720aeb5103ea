"""Check the broker: whether events could be brought to it.

Without it jobs run all the same, and their events wait.
"""

from collections.abc import Iterator

from headrace_server.amqp.probe import Unusable, probe
from headrace_server.amqp.url import BrokerRefused
from headrace_server.config import Settings
from headrace_server.doctor.finding import Finding, ok, problem, warning


def look(settings: Settings) -> Iterator[Finding]:
    """Each node that the settings name."""
    for url in settings.brokers:
        try:
            seen = probe(url, settings.events_exchange)
        except BrokerRefused as error:
            yield problem("broker", str(error))
        except Unusable as error:
            yield warning(
                "broker", f"{error}: events wait in the database until --amqp-url names one that takes them."
            )
        else:
            state = "is there" if seen.exchange else "will be declared"
            yield ok(
                "broker",
                f"{seen.product} answers at {seen.place}; the exchange {settings.events_exchange} {state}.",
            )
