"""Messages of any type with chosen or hostile values in their fields."""

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from headrace.v1 import value_pb2

TENANTS = ("fuzz-a", "fuzz-b", "")
TYPES = ("test.noop", "test.echo", "test.echo", "test.fail")
SENSIBLE_DEPTH = 3
MASS = (33, 1001, 40_000)
DEEP = (15, 16, 17, 40)
YEAR = 31_557_600

INTS = (0, 1, -1, 2, 99, 1000, 1001, 1_000_000, 1_000_001, 2**31 - 1, -(2**31))
LONGS = (*INTS, 2**31, 2**53 + 1, 2**62, 2**63 - 1, -(2**63), 253_402_300_800, -62_135_596_801)
DOUBLES = (0.0, -0.0, 1.5, -1.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "", "\0", "a\0b", " ", "-", "*", "a*b", "%", "_", "'", '"', "\\", "$", "../..", "\ufeff", "\U0010ffff", "\ud7ff",
    "\u202eabc", "e\u0301", "\r\n", "\x1b[31m", "null", "NaN", "0", "é" * 101, "x" * 256, "y" * 5000, "{}", "[0]", "e30=",
)  # fmt: skip
BYTES = (b"", b"\0", b"\xff\xfe", b"z" * 3000)


@dataclass
class Known:
    """What the server has said: what later requests may name."""

    jobs: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=300))
    """Tenant and id."""
    tokens: deque[str] = field(default_factory=lambda: deque(maxlen=100))
    pages: dict[str, deque[bytes]] = field(default_factory=dict)
    """By method: requests whose next page is there."""
    etags: deque[str] = field(default_factory=lambda: deque(maxlen=100))


def new(descriptor: Descriptor) -> Message:
    """An empty message."""
    return GetMessageClass(descriptor)()


def text(rng: random.Random, letters: str = "abcdeé ß漢😀_*%") -> str:
    """A short text."""
    return "".join(rng.choices(letters, k=rng.randrange(12)))


class Maker:
    """Makes one request. wildness: the share of fields that hold what no caller would send."""

    def __init__(self, rng: random.Random, known: Known, wildness: float) -> None:
        self._rng = rng
        self._known = known
        self._wildness = wildness
        self._sensible: Mapping[str, Callable[[], Any]] = {
            "tenant": lambda: rng.choice(TENANTS),
            "job_id": self._job_id,
            "job_ids": self._job_id,
            "type": lambda: rng.choice(TYPES),
            "types": lambda: rng.choice((*TYPES, "test.*", "*")),
            "request_id": lambda: f"{rng.randrange(rng.choice((50, 1 << 30)))}",
            "hold": lambda: rng.random() < 0.8,
            "page_token": lambda: "",
            "etag": lambda: "",
            "after_revision": lambda: rng.choice((0, 0, 1)),
            "page_size": lambda: rng.choice((0, 1, 7, 100, 1000, 5000)),
            "priority": lambda: rng.randrange(-100, 100),
            "max_attempts": lambda: rng.randrange(1, 4),
            "multiplier": lambda: rng.choice((0, 1, 2.5)),
            "service": lambda: rng.choice(("", "headrace.v1.JobService", "headrace.v1.AdminService")),
            "paths": lambda: rng.choice(
                (
                    "description",
                    "labels",
                    "locked",
                    "priority",
                    "run_after",
                    "paused",
                    "max_running",
                    "weight",
                )
            ),
            "locked": lambda: rng.random() < 0.1,
            "year": lambda: rng.randrange(1, 10_000),
            "month": lambda: rng.randrange(1, 13),
            "day": lambda: rng.randrange(1, 29),
            "size": lambda: rng.randrange(1 << 40),
        }

    def request(self, path: str, descriptor: Descriptor) -> Message:
        """A request of a method."""
        rng = self._rng
        pages = self._known.pages.get(path)
        if pages and rng.random() < 0.3:
            message = new(descriptor)
            message.ParseFromString(rng.choice(pages))
        else:
            message = self._message(descriptor)
        self._agree(message)
        return message

    def swell(self, message: Message) -> None:
        """Repeat something in it thousands of times."""
        rng = self._rng
        repeated = [
            (part, entry)
            for part in self._parts(message)
            for entry in part.DESCRIPTOR.fields
            if entry.is_repeated
        ]
        if repeated:
            part, entry = rng.choice(repeated)
            self._repeat(part, entry, rng.choice(MASS), 1)

    def _parts(self, message: Message) -> list[Message]:
        parts = [message]
        for entry in message.DESCRIPTOR.fields:
            if entry.message_type is not None and not entry.is_repeated:
                parts += self._parts(getattr(message, entry.name)) if message.HasField(entry.name) else []
        return parts

    def _job_id(self) -> str:
        known = self._known.jobs
        return self._rng.choice(known)[1] if known else "none"

    def _agree(self, message: Any) -> None:
        """Let the parts of a request fit together, where nothing wild was asked for."""
        rng, names = self._rng, message.DESCRIPTOR.fields_by_name
        wild = rng.random() < self._wildness
        if "job_id" in names and self._known.jobs and not wild:
            message.tenant, message.job_id = rng.choice(self._known.jobs)
        if "page_token" in names and wild and self._known.tokens:
            token = rng.choice(self._known.tokens)
            message.page_token = rng.choice((token, token[: rng.randrange(len(token))], token[::-1]))
        if "etag" in names and wild and self._known.etags:
            message.etag = rng.choice(self._known.etags)
        if "filter" in names and message.filter.parameters and not wild:
            message.filter.types[:] = ["test.echo"]
        if "wait_timeout" in names and not wild:
            message.wait_timeout.FromMilliseconds(rng.randrange(30))

    def _message(self, descriptor: Descriptor, depth: int = 0) -> Message:
        if descriptor.full_name == "headrace.v1.Value":
            return self._value(depth)
        message: Any = new(descriptor)
        match descriptor.full_name:
            case "google.protobuf.Timestamp":
                wild = self._is_wild()
                message.seconds = (
                    self._rng.choice(LONGS) if wild else int(time.time()) + self._rng.randrange(-5, YEAR)
                )
                message.nanos = self._rng.choice(INTS) if wild else self._rng.randrange(10**9)
            case "google.protobuf.Duration":
                wild = self._is_wild()
                message.seconds = self._rng.choice(LONGS) if wild else self._rng.randrange(1, 3600)
                message.nanos = self._rng.choice(INTS) if wild else self._rng.randrange(10**9)
            case _:
                self._fill(message, depth)
        return message

    def _fill(self, message: Any, depth: int) -> None:
        rng = self._rng
        for entry in message.DESCRIPTOR.fields:
            needed = entry.name in ("type", "spec", "update_mask", "job_id", "name", "hold", "gate")
            if not needed and rng.random() < 0.5:
                continue
            if entry.is_repeated:
                few = rng.randrange(1 if entry.name == "paths" else 0, 4)
                self._repeat(message, entry, rng.choice((0, 5, 40)) if self._is_wild() else few, depth)
            elif entry.message_type is not None:
                getattr(message, entry.name).CopyFrom(self._message(entry.message_type, depth + 1))
            else:
                setattr(message, entry.name, self._scalar(entry))

    def _repeat(self, message: Any, entry: FieldDescriptor, count: int, depth: int) -> None:
        held = getattr(message, entry.name)
        kind = entry.message_type
        for number in range(count):
            if kind is None:
                held.append(self._scalar(entry))
            elif kind.GetOptions().map_entry:
                key = self._rng.choice(TEXTS) if self._is_wild() else f"k{number}"
                value = kind.fields_by_name["value"]
                if value.message_type is None:
                    held[key] = self._scalar(value)
                else:
                    held[key].CopyFrom(self._message(value.message_type, depth + 1))
            else:
                held.add().CopyFrom(self._message(kind, depth + 1))

    def _is_wild(self) -> bool:
        return self._rng.random() < self._wildness

    def _scalar(self, entry: FieldDescriptor) -> Any:
        rng = self._rng
        wild = self._is_wild()
        if not wild and entry.name in self._sensible:
            return self._sensible[entry.name]()
        if entry.enum_type is not None:
            return rng.choice(INTS if wild else sorted(entry.enum_type.values_by_number)[-6:])
        hostile, make = _SCALARS[entry.type]
        return rng.choice(hostile) if wild else make(rng)

    def _value(self, depth: int) -> value_pb2.Value:
        rng = self._rng
        value = value_pb2.Value()
        if self._is_wild() and rng.random() < 0.3:
            for _ in range(rng.choice(DEEP)):
                value = value_pb2.Value(list_value=value_pb2.ListValue(values=[value]))
            return value
        kinds = [
            entry
            for entry in value.DESCRIPTOR.fields
            if depth < SENSIBLE_DEPTH or entry.name not in ("list_value", "map_value")
        ]
        if not self._is_wild():
            entry = rng.choice(kinds)
            if entry.message_type is None:
                setattr(value, entry.name, self._scalar(entry))
            else:
                held = getattr(value, entry.name)
                held.SetInParent()
                held.CopyFrom(self._message(entry.message_type, depth + 1))
        return value


_SCALARS: Mapping[int, tuple[Sequence[Any], Callable[[random.Random], Any]]] = {
    FieldDescriptor.TYPE_STRING: (TEXTS, text),
    FieldDescriptor.TYPE_BYTES: (BYTES, lambda rng: rng.randbytes(8)),
    FieldDescriptor.TYPE_BOOL: ((False, True), lambda rng: rng.random() < 0.5),
    FieldDescriptor.TYPE_DOUBLE: (DOUBLES, lambda rng: rng.uniform(-1e6, 1e6)),
    FieldDescriptor.TYPE_INT32: (INTS, lambda rng: rng.randrange(100)),
    FieldDescriptor.TYPE_INT64: (LONGS, lambda rng: rng.randrange(1 << 40)),
}
"""By type: hostile values, and what makes a sensible one. Another type needs a row of its own."""
