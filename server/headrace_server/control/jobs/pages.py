"""Page tokens: where a page ended, bound to the tenant and the query it belongs to."""

import base64
import binascii
import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from headrace_server.domain.errors import FieldViolation, InvalidPageToken

DEFAULT_SIZE = 100


def page_size(size: int, largest: int) -> int:
    """The size to use; the caller has made sure that it is not negative."""
    return min(size or DEFAULT_SIZE, largest)


def make_token(query: object, place: tuple[Any, ...]) -> str:
    """A token for the place behind which the next page begins."""
    text = json.dumps([_fingerprint(query), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_token(query: object, token: str, shape: tuple[type, ...]) -> tuple[Any, ...] | None:
    """Return the place that a token of this query names, or None for the first page.

    Raises InvalidPageToken.
    """
    if not token:
        return None
    try:
        fingerprint, *place = json.loads(
            base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        )
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise _refused("It is not a token that this server gave.") from None
    if fingerprint != _fingerprint(query):
        raise _refused("It belongs to another query or tenant.")
    place = place[: len(shape)]  # a later version may say more
    if [type(part) for part in place] != [*shape] or not all(map(_storable, place)):
        raise _refused("It is not a token that this server gave.")
    return tuple(place)


def _storable(part: Any) -> bool:
    """Return whether a database accepts this part of a token.

    JSON can write numbers beyond 64 bits, NUL, and halves of characters.
    """
    if isinstance(part, int):
        return abs(part) < 1 << 63
    return "\0" not in part and not any("\ud800" <= character <= "\udfff" for character in part)


def _fingerprint(query: object) -> str:
    # repr of plain values and tuples: the same query gives the same text in every process.
    return hashlib.sha256(repr(_said(query)).encode()).hexdigest()[:16]


def _said(query: object) -> object:
    """Return the content of a query, for its fingerprint.

    Of a record, that is the fields that differ from their defaults, so that a new field changes
    nothing.
    """
    if isinstance(query, tuple):
        return tuple(map(_said, query))
    if not is_dataclass(query):
        return query
    given = ((field, getattr(query, field.name)) for field in fields(query))
    return [
        (field.name, _said(value))
        for field, value in given
        if value != (field.default if field.default_factory is MISSING else field.default_factory())
    ]


def _refused(text: str) -> InvalidPageToken:
    return InvalidPageToken(FieldViolation("page_token", text))
