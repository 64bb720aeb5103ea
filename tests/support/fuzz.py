"""Requests for a fuzz: valid, hostile, mutated and no requests at all, for every method that there
is.

    tame       every field is set as a caller would: nearly all are accepted
    wild       a tame one in which some fields hold what no caller would send
    hostile    most fields hold that
    mutated    the bytes of a tame one, some of them changed, cut, doubled, or made bad UTF-8
    raw        random bytes
    massive    one field repeated thousands of times
    oversize   more than a message may have

What is made grows from (seed, index) and from what the server has answered so far: jobs, tokens,
etags.
"""

import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.text_format import MessageToString
from grpc_health.v1 import health_pb2

from headrace.v1 import admin_service_pb2, job_service_pb2
from support.fuzz_messages import Known, Maker, new, text

SERVICES = (
    *job_service_pb2.DESCRIPTOR.services_by_name.values(),
    *admin_service_pb2.DESCRIPTOR.services_by_name.values(),
    *health_pb2.DESCRIPTOR.services_by_name.values(),
)
METHODS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods
}
STYLES = {"tame": 50, "wild": 20, "hostile": 12, "mutated": 12, "raw": 5, "massive": 1, "oversize": 0.1}
PLAIN = ("GetServerInfo", "ListJobTypes", "Check", "List", "Watch")
"""Methods that have next to nothing to get wrong: they get fewer of the inputs."""
WEIGHTS = [0.25 if method.name in PLAIN else 1 for method in METHODS.values()]
MESSAGE_BYTES = 4 << 20
BAD_TEXTS = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")
"""A byte that is none of UTF-8's, an overlong NUL, a surrogate, a character beyond the last, half a
character.
"""
SHOWN = 3000


@dataclass(frozen=True)
class Request:
    """One input. Its words are enough to send it again alone."""

    index: int
    path: str
    style: str
    body: bytes
    metadata: tuple[tuple[str, str | bytes], ...] = field(default=())

    @property
    def method(self) -> MethodDescriptor:
        """What is called."""
        return METHODS[self.path]

    @property
    def message(self) -> Message | None:
        """The request as its method reads it; None when it does not decode."""
        made = new(self.method.input_type)
        try:
            made.MergeFromString(self.body)
        except (DecodeError, UnicodeDecodeError):
            return None
        return made

    def shown(self) -> str:
        """All that is needed to repeat it."""
        message = self.message
        words = "does not decode" if message is None else MessageToString(message, as_utf8=True)
        return (
            f"{self.path} #{self.index} {self.style}\n  metadata {repr(self.metadata)[:SHOWN]}\n"
            f"  {len(self.body)} bytes {self.body[:SHOWN].hex()}\n  {words[:SHOWN]}"
        )


class Requests:
    """Makes the inputs of one run."""

    def __init__(self, seed: int, known: Known) -> None:
        self._seed = seed
        self._known = known

    def make(self, index: int) -> Request:
        """The input of this number."""
        rng = random.Random(f"{self._seed}:{index}")
        [path] = rng.choices(list(METHODS), WEIGHTS)
        [style] = rng.choices(list(STYLES), list(STYLES.values()))
        return Request(index, path, style, self._body(rng, path, style), _metadata(rng))

    def _body(self, rng: random.Random, path: str, style: str) -> bytes:
        if style == "raw":
            return _deep(rng) if rng.random() < 0.1 else rng.randbytes(rng.choice((1, 3, 10, 100, 2000)))
        wildness = {"wild": 0.15, "hostile": 0.7, "massive": 0.05}.get(style, 0.0)
        maker = Maker(rng, self._known, wildness)
        message = maker.request(path, METHODS[path].input_type)
        if style == "massive":
            maker.swell(message)
        body: bytes = message.SerializeToString()
        if style == "mutated":
            return _mutated(rng, body)
        if style == "oversize":  # in a field that nobody knows: it is the size alone which is wrong
            return body + _field(2000, b"x" * MESSAGE_BYTES)
        return body if len(body) <= MESSAGE_BYTES else body[:MESSAGE_BYTES]


def _deep(rng: random.Random) -> bytes:
    """A SubmitJobRequest with one parameter: a list of a list of a list … deeper than protobuf
    itself makes one.
    """
    value = b""
    for _ in range(rng.choice((30, 49, 60, 5000))):
        value = _field(10, _field(1, value))
    return _field(3, _field(1, b"test.echo") + _field(2, _field(1, b"x") + _field(2, value)))


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _mutated(rng: random.Random, body: bytes) -> bytes:
    data = bytearray(body or b"\x0a\x01x")
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = rng.randbytes(rng.choice((1, 4, 20)))
            case 2 if len(data) > 1:
                del data[at : at + rng.choice((1, 4, 50))]
                data = data or bytearray(b"\x00")
            case 3:
                data[at:at] = data[rng.randrange(len(data)) :][: rng.choice((2, 20, 200))]
            case 4:
                data[at : at + 8] = struct.pack("<q", rng.choice((-1, 0, 1 << 62, -(1 << 63))))
            case _:
                _spoil_text(rng, data)
    return bytes(data)


def _spoil_text(rng: random.Random, data: bytearray) -> None:
    """Make some letters bad UTF-8, their lengths as they were."""
    places = [at for at in range(len(data) - 4) if data[at : at + 4].isalnum()]
    if places:
        at, bad = rng.choice(places), rng.choice(BAD_TEXTS)
        data[at : at + len(bad)] = bad


def _metadata(rng: random.Random) -> tuple[tuple[str, str | bytes], ...]:
    match rng.randrange(20):
        case 0:
            return tuple((f"x-{number}", text(rng, "ab~ !%")) for number in range(rng.choice((1, 20))))
        case 1:
            return (
                ("x-odd_key.0-bin", rng.randbytes(rng.choice((0, 1, 500)))),
                ("authorization", "Bearer x"),
            )
        case 2:
            return (("x-long", "v" * rng.choice((100, 4000))),)
        case 3 if rng.random() < 0.2:
            return (("x-huge", "v" * 100_000),)
        case 4:
            return (
                ("x-request-id", "a"),
                ("x-request-id", "b"),
                ("traceparent", "00-zz"),
                ("user-agent", ""),
            )
        case _:
            return ()
