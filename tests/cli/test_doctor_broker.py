"""`headrace doctor` on RabbitMQ: what is wrong with a broker is told with the way out."""

from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from cli.doctor import Doctor, of

pytestmark = pytest.mark.slow


def finding(doctor: Doctor, url: str) -> tuple[str, str]:
    """What it says of the broker. Jobs run without one, so nothing about it is a problem."""
    return of(doctor.finds(0, amqp_url=url), "broker")


def test_a_broker_that_is_well(tmp_path: Path, rabbitmq: str) -> None:
    """A broker that answers is named, and whether the exchange is there already; it is not declared
    by looking.
    """
    doctor = Doctor(tmp_path)
    for _ in range(2):
        level, text = finding(doctor, rabbitmq)
        assert level == "ok"
        assert "RabbitMQ" in text
        assert "the exchange headrace.events will be declared" in text
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq))
    connection.channel().exchange_declare("headrace.events", "topic", durable=True)
    connection.close()
    assert "the exchange headrace.events is there" in finding(doctor, rabbitmq)[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wrong"}, "does not know the user 'guest' with this password"),
        ({"vhost": "nowhere"}, "has no virtual host 'nowhere' for the user 'guest'"),
        ({"port": 1}, "cannot be reached"),
    ],
    ids=["password", "vhost", "port"],
)
def test_a_broker_that_is_not(tmp_path: Path, rabbitmq: str, change: dict[str, object], said: str) -> None:
    """A wrong password, virtual host or port each has its sentence, and the password is not in it."""
    parts = urlsplit(rabbitmq)
    port, password = change.get("port", parts.port), change.get("password", parts.password)
    vhost = change.get("vhost", parts.path.lstrip("/"))
    url = f"amqp://{parts.username}:{password}@{parts.hostname}:{port}/{vhost}?connection_attempts=1"
    level, text = finding(Doctor(tmp_path), url)
    assert level == "warning"
    assert said in text
    assert "events wait in the database" in text
    assert "wrong" not in text
