"""What a later version would have written, at every place of the store: more keys, more words, more
kinds; and what is damaged.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_server.store.tables.raw_json import elements, members

UNKNOWN = 42
ATTEMPT = ("number", "start_time", "instance", "worker", "end_time")
MORE = {"colour": "red", "depth": {"a": [1, 2]}}


RAW = '"colour": "\\u00e9\\ud800","depth":{"a" : [1.10, 1E3,\t{}]},"unknown":0'
"""Members that read and written again would be other bytes; the last is called as the field that
keeps them.
"""


def with_raw(text: str) -> str:
    """An object with RAW behind its own members, once."""
    if RAW in text:
        return text
    return f"{text[:-1]},{RAW}}}" if json.loads(text) else f"{{{RAW}}}"


def with_raw_attempts(text: str) -> str:
    """Attempts with RAW in each, and in the error of each, once."""
    return f"[{','.join(map(_raw_attempt, elements(text)))}]"


def _raw_attempt(text: str) -> str:
    own = [written for name, _, written in members(text) if name in ATTEMPT]
    errors = [f'"error" : {with_raw(value)}' for name, value, _ in members(text) if name == "error"]
    return f"{{{','.join([*own, *errors, RAW])}}}"


def with_more(text: str | None) -> str:
    """An object with keys that this version does not know."""
    return json.dumps({**json.loads(text or "{}"), **MORE})


def _attempts(text: str | None) -> str:
    error = {"kind": UNKNOWN, "message": "new", **MORE}
    return json.dumps([{**one, "error": error, **MORE} for one in json.loads(text or "[]")])


def _of_kind(name: str) -> Callable[[str | None], str]:
    return lambda text: json.dumps({**json.loads(text or "{}"), name: UNKNOWN})


@dataclass(frozen=True)
class Later:
    """A column of a job as a later version writes it; beside: other columns of the row.

    state: what the job is before: queued, held, running, stopping, retried or failed. legible: this
    version can act on it.
    """

    state: str
    column: str
    write: Callable[[Any], Any]
    legible: bool = True
    beside: Mapping[str, Any] | None = None


LATER: Mapping[str, Later] = {
    "retry with more": Later("queued", "retry", with_more),
    "progress with more": Later("running", "progress", with_more),
    "attempts with more": Later("running", "attempts", _attempts),
    "attempts of one retried": Later("retried", "attempts", _attempts),
    "error with more": Later("failed", "error", with_more),
    "error of another kind": Later("failed", "error", _of_kind("kind")),
    "error of one retried": Later("retried", "error", _of_kind("kind")),
    "stop with more": Later("stopping", "stop", with_more),
    "stop in another phase": Later("stopping", "stop", _of_kind("phase")),
    "status of one queued": Later("queued", "status", lambda _: UNKNOWN, legible=False),
    "status of one held": Later("held", "status", lambda _: UNKNOWN, legible=False),
    "status of one that runs": Later("running", "status", lambda _: UNKNOWN, legible=False),
    "status of one that has ended": Later(
        "failed", "status", lambda _: UNKNOWN, legible=False, beside={"end_time": 1_700_000_000_000_000}
    ),
    "damaged retry": Later("queued", "retry", lambda _: "{", legible=False),
    "retry without a shape": Later("queued", "retry", lambda _: "[1]", legible=False),
    "damaged labels": Later("queued", "labels", lambda _: "[1, 2]", legible=False),
    "damaged progress": Later("running", "progress", lambda _: "nul", legible=False),
    "progress that lacks": Later("running", "progress", lambda _: '{"done": 1}', legible=False),
    "damaged attempts": Later("running", "attempts", lambda _: "7", legible=False),
    "damaged stop": Later("stopping", "stop", lambda _: "[]", legible=False),
    "damaged error": Later("failed", "error", lambda _: '"x"', legible=False),
}
"""By name."""

EVENTS: tuple[Mapping[str, Any], ...] = (
    {"kind": UNKNOWN, "body": json.dumps({"new": [1]})},
    {"status": UNKNOWN},
    {"kind": 2, "body": json.dumps({"from": UNKNOWN, "to": UNKNOWN, **MORE})},
    {"kind": 2, "body": json.dumps({"from": 4, "to": 6, "error": {"kind": UNKNOWN, "message": "m", **MORE}})},
    {"kind": 3, "body": json.dumps({"level": UNKNOWN, "source": 1, "text": "t", **MORE})},
    {"kind": 5, "body": json.dumps({"phase": UNKNOWN})},
    {"kind": 2, "body": "{"},
    {"kind": 3, "body": "[]"},
    {"kind": 4, "body": "{}"},
)
"""Columns of rows of the log, and of the outbox."""

ABOUT: tuple[str, ...] = (
    json.dumps({"host": "h", "pid": 1, "workers": 2, "types": ["t"], "draining": False, **MORE}),
    json.dumps({"types": {"t": 1}, "workers": "many", "queues": 5, "pid": 2**70}),
    "{",
    "[]",
)
"""What instances tell of themselves."""
