"""Turns the answers of the client into plain data.

The data is shaped and named as in the .proto files, with the short names of statuses.

Results stand for themselves: text is text, a date its ISO form, bytes are base64. Parameters are
written so that the command takes them back (`notation`). The names of both are in order. What is
not set is null, so that a script finds every field.
"""

import base64
import dataclasses
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from headrace.cli import notation
from headrace.cli.times import json_moment, json_span
from headrace.info import EventDetail, Gate, Instance, JobEvent, JobInfo, JobType, ServerInfo, Traffic

_CONTRACT_NAMES = {"from_status": "from", "to_status": "to"}
"""Fields that Python had to name otherwise."""


_LISTS = frozenset(("jobs", "queues", "events_kinds"))
_FLAGS = {"True": True, "False": False, "None": None}
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


class Record(NamedTuple):
    """One thing to be shown: what it is called in a --format, its name, and its data."""

    kind: str
    name: str
    data: dict[str, Any]


def of_job(job: JobInfo) -> Record:
    """A job, and beside the contract's fields how long it waited and ran."""
    data: dict[str, Any] = plain(job)
    data["spec"] |= {
        "parameters": {name: notation.show(value) for name, value in sorted(job.spec.parameters.items())},
        "labels": steady(job.spec.labels),
    }
    data |= {"result": steady(job.result), "results": steady(job.results)}
    return Record(
        "job", job.job_id, {**data, "wait_time": plain(job.wait_time), "run_time": plain(job.run_time)}
    )


def of_event(event: JobEvent) -> Record:
    """Return an event of a history.

    Its details stand under the name of its kind, as in the contract.
    """
    data: dict[str, Any] = plain(event)
    detail: EventDetail | None = event.detail
    del data["detail"], data["payload"]  # no watch and no history has a payload
    return Record("event", str(event.revision), {**data, event.kind.lower(): plain(detail) or {}})


def of_type(job_type: JobType) -> Record:
    """A type of job."""
    return Record("type", job_type.type or job_type.module, plain(job_type))


def of_instance(instance: Instance) -> Record:
    """One of the servers of a database."""
    return Record("instance", instance.instance, plain(instance))


def of_gate(gate: Gate) -> Record:
    """Return a gate as a record."""
    return Record("gate", gate.name, plain(gate))


def of_traffic(traffic: Traffic) -> Record:
    """Return the traffic of a queue or a tenant, with the fields of its gate beside its own."""
    data: dict[str, Any] = plain(traffic)
    gate = data.pop("gate")
    return Record(traffic.gate.scope.lower(), traffic.gate.name, {**gate, **data})


def of_server(info: ServerInfo) -> Record:
    """Return a server as a record.

    Its settings have the types that they are read as, while the contract has them as text.
    """
    settings = {name: _setting(name, text) for name, text in info.settings.items()}
    return Record("server", info.instance, {**plain(info), "settings": settings})


def _setting(name: str, text: str) -> Any:
    if name in _LISTS:
        return [part for part in text.split(",") if part]
    if text in _FLAGS:
        return _FLAGS[text]
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text or "e" in text else int(text)
    return text


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if value is None or type(value) in {bool, int, float, str}:
        return value
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {
            _CONTRACT_NAMES.get(field.name, field.name): plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    # datetime stands before date, which it is a subclass of.
    return next(write(value) for kind, write in _TEXTS if isinstance(value, kind))


def steady(value: Any) -> Any:
    """A value as JSON can hold it, the names of its maps in order: the wire keeps none."""
    if isinstance(value, Mapping):
        return {name: steady(item) for name, item in sorted(value.items())}
    return [steady(item) for item in value] if isinstance(value, list | tuple) else plain(value)


_TEXTS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (str, str),  # the words of headrace.info
    (datetime, json_moment),
    (date, date.isoformat),
    (timedelta, json_span),
    (bytes, lambda value: base64.b64encode(value).decode()),
)
