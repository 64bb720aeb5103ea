"""Requests that do not decode: which text in them is not UTF-8.

protobuf says only that a message does not decode. Where a text is to blame its field can be named,
by reading the bytes again beside the descriptor.
"""

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

FIELDS_MAX = 10_000
"""Fields that are looked at: 4 MiB of them would keep the server busy for a second."""
_VALUE = re.compile(r"\.\w+_value(\.values)?(?=\W|$)")
"""The names of the kinds of a Value, which are not part of a path.

A path reads `spec.parameters[x][0]`, as for values that decode.
"""


def bad_text(kind: Descriptor, data: bytes) -> str:
    """The field of the first text that is not UTF-8; empty when there is none."""
    try:
        return _VALUE.sub("", next(_Reader().bad_texts(kind, data, ""), ""))
    except (IndexError, RecursionError):
        return ""


class _Reader:
    def __init__(self) -> None:
        self._left = FIELDS_MAX

    def bad_texts(self, kind: Descriptor, data: bytes, path: str) -> Iterator[str]:
        counts: dict[int, int] = {}
        for number, part in self._parts(data):
            field = kind.fields_by_number.get(number)
            if field is None:
                continue
            place = f"{path}.{field.name}".lstrip(".")
            if _is_map(field):
                yield from self._in_entry(field.message_type, part, place)
                continue
            if field.is_repeated:
                counts[number] = counts.get(number, -1) + 1
                place = f"{place}[{counts[number]}]"
            yield from self._in_field(field, part, place)

    def _in_field(self, field: FieldDescriptor, part: bytes, place: str) -> Iterator[str]:
        if field.message_type is not None:
            yield from self.bad_texts(field.message_type, part, place)
        elif field.type == FieldDescriptor.TYPE_STRING and not _is_utf8(part):
            yield place

    def _in_entry(self, kind: Any, entry: bytes, place: str) -> Iterator[str]:
        parts = dict(self._parts(entry))
        key = parts.get(1, b"")
        if not _is_utf8(key):
            yield place
        elif 2 in parts:  # noqa: PLR2004 - the number of a map's values
            yield from self._in_field(kind.fields_by_name["value"], parts[2], f"{place}[{key.decode()}]")

    def _parts(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the numbers and bytes of the fields that have a length.

        Raises IndexError where the bytes end too soon.
        """
        at = 0
        while at < len(data) and self._left > 0:
            self._left -= 1
            tag, at = _varint(data, at)
            match tag & 7:
                case 0:
                    _, at = _varint(data, at)
                case 1:
                    at += 8
                case 5:
                    at += 4
                case 2:
                    size, at = _varint(data, at)
                    yield tag >> 3, data[at : at + size]
                    at += size
                case _:
                    return


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            return number, at
        shift += 7
