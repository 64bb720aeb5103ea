"""Describes, in a sentence, the peer at an address that no call gets through to.

The sentence is derived from what gRPC says about its attempts.
"""

import os
import re
from urllib.parse import urlsplit

from headrace.errors import InvalidArgument

_LOOPBACK = ("127.", "localhost", "[::1]", "::1")
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""The variables that gRPC takes a proxy from, in its order."""
_NO_HTTP2 = ("failed parsing http/2", "http1.x")
_NO_ANSWER = "before receiving settings frame"
_HANGS_UP = ("socket closed", "connection reset", "broken pipe", "endpoint closing")
_HTTP = ("http2 header with status", "content-type")
_PROXY_FAILED = "http proxy"
NO_NAME = ("errors resolving", "name resolution", "dns")
"""The phrases of gRPC, in lower case, for a name that leads to no address."""
_OWN_SCHEME = re.compile(r"(unix(-abstract)?|dns|ipv[46]|xds|vsock|google-c2p):")
_NO_ADDRESS = re.compile(r"[\s/]")


def is_local(target: str) -> bool:
    """Whether a target is this machine, to which no proxy leads."""
    host = target.removeprefix("ipv4:").removeprefix("ipv6:").removeprefix("dns:").lstrip("/")
    return host.startswith(_LOOPBACK) or target.startswith("unix")


def check(target: str) -> None:
    """Raises InvalidArgument for text that is not a target, such as a URL.

    Without this check gRPC would look for a host of that name.
    """
    if not _OWN_SCHEME.match(target) and _NO_ADDRESS.search(target):
        raise InvalidArgument(
            f"{target!r} is no target: write host:port, such as 127.0.0.1:50551, without a scheme or a path."
        )


def sentence(text: str, target: str) -> str | None:  # noqa: PLR0911 - one for each kind
    """Returns a sentence on what is wrong with the peer and how to fix it, or None.

    It is None if gRPC's text gives no clue. text: in lower case.
    """
    if _PROXY_FAILED in text:
        return (
            f"No way to {target} leads through the proxy that the environment names{_proxy()}: {text.rpartition(': ')[2]}. "
            "Name the host in no_proxy to go past it."
        )
    if any(sign in text for sign in NO_NAME):
        return f"The name in {target} leads to no address; a target is host:port. gRPC says: {text}"
    if any(sign in text for sign in _NO_HTTP2):
        return f"What answers at {target} does not speak gRPC: check host and port. Headrace's own port is 50551."
    if _NO_ANSWER in text:
        return f"Something listens at {target}, but does not speak: it may be no gRPC server, or be stuck."
    if text.startswith("failed to connect") and any(sign in text for sign in _HANGS_UP):
        return (
            f"What listens at {target} hangs up at once: it may be no gRPC server, or want TLS "
            "(Client(credentials=…))."
        )
    if any(sign in text for sign in _HTTP):
        return f"What answers at {target} speaks HTTP, but is no Headrace server: {text}"
    return None


def through(target: str) -> str:
    """The proxy that calls to a target go through, in words; "" for none."""
    return "" if is_local(target) else _proxy()


def _proxy() -> str:
    for name in _PROXIES:
        for variable in (name, name.upper()):
            if url := os.environ.get(variable):
                parts = urlsplit(url)
                return f" ({variable}={parts.scheme}://{parts.netloc.rpartition('@')[2]})"
    return ""
