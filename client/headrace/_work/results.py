"""The results of a run: as text, and together within their limit."""

from typing import Any, Final

from headrace._work.attempt import ResultNotSerializable, ResultTooLarge
from headrace.values import NAME_MAX, UnsupportedValue, dumps, encode

RESULTS_MAX: Final = 1 << 20
"""The default limit in bytes for all results of a job together.

They are counted as JSON text of their plain form. The server may set another limit.
"""


class Results:
    """Turns results into JSON text, and keeps all of them together within `most` bytes.

    The returned result has the name "".
    """

    def __init__(self, most: int = RESULTS_MAX) -> None:
        self._most = most
        self._sizes: dict[str, int] = {}

    def named(self, name: str, value: Any) -> str:
        """A result set by name. Raises ValueError for a bad name, and what `text` raises."""
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_MAX or "\0" in name:
            raise ValueError(f"the name of a result is a text of 1 to {NAME_MAX} characters, not {name!r}")
        return self._text(name, value)

    def returned(self, value: Any) -> str | None:
        """Return the JSON text of the job's return value; None stays None.

        Raises what `_text` raises.
        """
        return None if value is None else self._text("", value)

    def _text(self, name: str, value: Any) -> str:
        """Return the JSON text of a result, and count its bytes.

        Raises ResultNotSerializable for a value of an unknown kind, and ResultTooLarge when all
        results pass the limit.
        """
        what = f"results[{name}]" if name else "result"
        try:
            text = dumps(encode(value, what))
        except UnsupportedValue as error:
            raise ResultNotSerializable(str(error)) from error
        size = len(text) if text.isascii() else len(text.encode())
        total = sum(self._sizes.values()) - self._sizes.get(name, 0) + size
        if total > self._most:
            raise ResultTooLarge(
                f"with {what} the results have {total} bytes; they may have {self._most} together"
            )
        self._sizes[name] = size
        return text
