"""The broker that HEADRACE_TEST_AMQP_URL names: a virtual host of one's own there, by the HTTP API
of its management plugin.

The API is expected 10,000 ports above AMQP, as 15672 is of 5672; the user is an administrator.
"""

import base64
import json
import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

AMQP_PORT = 5672
API_ABOVE = 10_000


@contextmanager
def vhost(url: str) -> Iterator[str]:
    """A virtual host for as long as the block lasts, and its URL.

    Raises OSError where the API refuses.
    """
    parts = urlsplit(url)
    name = f"headrace-test-{secrets.token_hex(4)}"
    _ask(parts, "PUT", f"vhosts/{name}", {})
    try:
        all_of_it = dict.fromkeys(("configure", "write", "read"), ".*")
        _ask(parts, "PUT", f"permissions/{name}/{quote(parts.username or 'guest')}", all_of_it)
        yield parts._replace(path=f"/{name}").geturl()
    finally:
        _ask(parts, "DELETE", f"vhosts/{name}")


def _ask(broker: SplitResult, method: str, path: str, body: Any = None) -> None:
    user, password = (unquote(part) for part in (broker.username or "guest", broker.password or "guest"))
    secret = base64.b64encode(f"{user}:{password}".encode()).decode()
    api = f"http://{broker.hostname}:{(broker.port or AMQP_PORT) + API_ABOVE}/api/{path}"
    request = urllib.request.Request(
        api,
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"Authorization": f"Basic {secret}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - the same
        pass
