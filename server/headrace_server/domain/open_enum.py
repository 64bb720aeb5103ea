"""Words that a later version may add to: a number that is not known here is a word all the same."""

from enum import IntEnum, StrEnum
from typing import Final, TypeVar

W = TypeVar("W", bound=IntEnum)
S = TypeVar("S", bound=StrEnum)

UNKNOWN: Final = "UNKNOWN"


def word(kind: type[W], number: object) -> W:
    """Return the enum member of a number.

    A number that this version does not know gives a member that is called UNKNOWN, keeps its number
    and equals no other.

    So it can be shown, stored again and handed on; nothing is decided by it. What is no number has
    the number 0.
    """
    known = kind._value2member_map_.get(number) if isinstance(number, int) else None
    if known is not None:
        return known  # type: ignore[return-value] # a member of kind
    value = int(number) if isinstance(number, int) else 0
    made = int.__new__(kind, value)
    made._name_ = UNKNOWN
    made._value_ = value
    return made


def named(kind: type[S], text: str) -> S:
    """The word of a text.

    One that this version does not know is called UNKNOWN, keeps its text and equals no other.
    """
    known = kind._value2member_map_.get(text)
    if known is not None:
        return known  # type: ignore[return-value] # a member of kind
    made = str.__new__(kind, text)
    made._name_ = UNKNOWN
    made._value_ = text
    return made


def is_known(one: IntEnum) -> bool:
    """Whether this version knows the word."""
    return one.name != UNKNOWN
