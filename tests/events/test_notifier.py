"""examples/notifier.py, as a process of its own, beside a real server and a real RabbitMQ."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.server import Server, until

NOTIFIER = Path(__file__).parents[2] / "examples/notifier.py"


class Webhook(HTTPServer):
    """Takes what it is told, but for the first."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.refused = 0
        super().__init__(("127.0.0.1", 0), Taker)


class Taker(BaseHTTPRequestHandler):
    """One call."""

    server: Webhook

    def do_POST(self) -> None:
        """Refuse the first, keep the others."""
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refused:
            self.server.told.append(told)
        self.send_response(204 if self.server.refused else 503)
        self.server.refused += not self.server.refused
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """One that listens."""
    with Webhook() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@contextmanager
def notifier(webhook: Webhook, folder: Path, server: Server, url: str) -> Iterator[subprocess.Popen[str]]:
    """The example as a process. It ends with success when it is told to."""
    target = f"http://127.0.0.1:{webhook.server_port}/jobs"
    with subprocess.Popen(
        [sys.executable, str(NOTIFIER), target, "test.noop", "test.fail"],
        env={**os.environ, "HEADRACE_AMQP_URL": url, "HEADRACE_TARGET": server.target},
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    ) as process:
        assert process.stderr is not None
        until(lambda: "Consuming notifier" in process.stderr.readline(), "it consumes")
        yield process
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 0


@pytest.mark.slow
def test_the_notifier_tells_of_each_end_once(webhook: Webhook, rabbitmq: str, tmp_path: Path) -> None:
    """Through a webhook that fails and a restart: each end of a job once, and nothing else."""
    with Server(tmp_path, amqp_url=rabbitmq) as server, server.client() as client:
        with notifier(webhook, tmp_path, server, rabbitmq):
            first, second = client.submit("test.noop"), client.submit("test.fail")
            until(lambda: len(webhook.told) == 2, "both are told of")
        third = client.submit("test.noop")
        third.wait(30)
        with notifier(webhook, tmp_path, server, rabbitmq):
            until(lambda: len(webhook.told) == 3, "the one that ended meanwhile is told of")
    assert webhook.refused == 1
    assert {told["job_id"]: told["status"] for told in webhook.told} == {
        first.job_id: "SUCCEEDED",
        second.job_id: "FAILED",
        third.job_id: "SUCCEEDED",
    }
