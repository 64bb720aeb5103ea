"""The results of a run: as text, and together within their limit."""

from typing import Any, Final

from headrace._work.attempt import ResultNotSerializable, ResultTooLarge
from headrace.values import NAME_MAX, UnsupportedValue, dumps, encode

RESULTS_MAX: Final = 1 << 20
"""The most bytes of all results of a job together, as JSON text of their plain form, where no server says otherwise."""


class Results:
    """Turns results into JSON text and counts its bytes, `most` at most; the one returned has the name ""."""

    def __init__(self, most: int = RESULTS_MAX) -> None:
        self._most = most
        self._sizes: dict[str, int] = {}

    def named(self, name: str, value: Any) -> str:
        """A result set by name. Raises ValueError for a bad name, and what `text` raises."""
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_MAX or "\0" in name:
            raise ValueError(f"the name of a result is a text of 1 to {NAME_MAX} characters, not {name!r}")
        return self._text(name, value)

    def returned(self, value: Any) -> str | None:
        """What the job returned; None stays None. Raises what `text` raises."""
        return None if value is None else self._text("", value)

    def _text(self, name: str, value: Any) -> str:
        """Raises ResultNotSerializable for a value of no kind, ResultTooLarge when all of them pass the limit."""
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
