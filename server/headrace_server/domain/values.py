"""The plain form of parameters and results, used between the edge, the store and a child.

A `Value` of the contract is kept as JSON that says its kind, so that it can be stored, sent to a
child and searched without another conversion:

    null, bool, string   as JSON has them
    int                  a JSON number without a point:  32
    double               a JSON number with one:         32.0
    list                 a JSON array of plain values
    bytes                {"$": "bytes", "v": "<base64>"}
    date                 {"$": "date", "v": "2026-11-22"}
    timestamp            {"$": "timestamp", "v": <microseconds since the epoch>}
    duration             {"$": "duration", "v": <microseconds>}
    map                  {"$": "map", "v": {name: plain value}}
    reference            {"$": "reference", "v": {"kind": …, "id": …}}
    file                 {"$": "file", "v": {"uri": …, "media_type": …, "size": …, "digest": …}}

A map is always tagged, so no name a caller chooses can be taken for a tag. `headrace.values` turns
the plain form into Python values and back, `headrace.wire` into protobuf and back.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

Plain = Any

NAME_MAX = 100


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Made once: json.dumps makes an encoder for each call."""


def dumps(plain: Plain) -> str:
    """The one text of a plain value: keys sorted, no white space, not escaped to ASCII."""
    return _encode(plain)


def in_order(plain: Plain) -> Plain:
    """The same with the entries of maps in the order of their names: equal values look alike."""
    if isinstance(plain, dict):
        return {name: in_order(item) for name, item in sorted(plain.items())}
    return [in_order(item) for item in plain] if isinstance(plain, list) else plain


def problems(values: Mapping[str, Plain], *, field: str, max_depth: int) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with named values, as (field path, sentence).

    Nothing is yielded when they are fine.
    """
    for name, value in values.items():
        path = f"{field}[{name}]"
        if not 1 <= len(name) <= NAME_MAX:
            yield path, f"A name is 1 to {NAME_MAX} characters long."
        elif "\0" in name:
            yield path, "A name contains no NUL character."
        yield from _problems_of(value, path, max_depth)


def _problems_of(value: Plain, path: str, depth: int) -> Iterator[tuple[str, str]]:
    match value:
        case str() if "\0" in value:
            yield path, "Text contains no NUL character."
        case float() if not math.isfinite(value):
            yield path, "A double is finite."
        case list() | {"$": "map"} if depth <= 1:
            yield path, "Values nest deeper than allowed."
        case list():
            for index, item in enumerate(value):
                yield from _problems_of(item, f"{path}[{index}]", depth - 1)
        case {"$": "map", "v": dict() as inner}:
            yield from problems(inner, field=path, max_depth=depth - 1)
        case {"v": dict() as parts}:
            for part in parts.values():
                yield from _problems_of(part, path, depth)
