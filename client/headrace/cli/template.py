r"""The templates of --format: text with placeholders such as {job.spec.parameters.file}.

A placeholder is a path of names through the data that -o json shows, and of numbers through its
lists. Nothing but that data can be reached. A format such as {job.status:>10} pads; {{ and }} are
braces, \t and \n what they are in C.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Self

from headrace.cli.record import Record
from headrace.cli.terminal import json_text
from headrace.info import EventKind


class BadTemplate(ValueError):
    """A template cannot be read, or names what is not there; the text says what is."""


_OWN_NAMES = frozenset(
    (
        "parameters",
        "result",
        "results",
        "labels",
        "parameters_schema",
        "result_schema",
        "settings",
        "limits",
        "counters",
    )
)
"""Below these the names are not the contract's: one job has them, another has not."""


class _Missing(BadTemplate):
    """A name is not there. elsewhere: others of the kind may have it."""

    def __init__(self, message: str, *, elsewhere: bool) -> None:
        super().__init__(message)
        self.elsewhere = elsewhere


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read.

    It has pieces of text, each with the path and the padding that follow it, if any.
    """

    parts: tuple[tuple[str, tuple[str, ...] | None, str], ...]

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a template. Raises BadTemplate."""
        try:
            parsed = list(Formatter().parse(text.replace("\\t", "\t").replace("\\n", "\n")))
        except ValueError as error:
            raise BadTemplate(
                f"The format cannot be read: {error}. Write {{{{ and }}}} for braces."
            ) from None
        for _, field, padding, conversion in parsed:
            if field == "" or conversion or "{" in (padding or ""):
                raise BadTemplate(
                    "A placeholder is a path such as {job.status} or {job.spec.parameters.file}."
                )
        return cls(
            tuple(
                (literal, None if field is None else tuple(field.split(".")), padding or "")
                for literal, field, padding, _ in parsed
            )
        )

    def fill(self, record: Record, missed: set[str] | None = None) -> str:
        """The text for a record. Raises BadTemplate for a name that it does not have.

        Where `missed` is given, a name that others of its kind may have is blank, and its path is
        added there.
        """
        root = {record.kind: record.data}
        return "".join(
            literal + ("" if path is None else _pad(_text(_find(root, path, missed)), padding, path))
            for literal, path, padding in self.parts
        )


def _find(root: Mapping[str, Any], path: Sequence[str], missed: set[str] | None) -> Any:
    try:
        return _look_up(root, path)
    except _Missing as missing:
        if missed is None or not missing.elsewhere:
            raise
        missed.add(".".join(path))
        return None


def _look_up(root: Mapping[str, Any], path: Sequence[str]) -> Any:
    here: Any = root
    for depth, name in enumerate(path):
        where = ".".join(path[:depth])
        elsewhere = not _OWN_NAMES.isdisjoint(path[:depth])
        if here is None:
            return None  # such as the error of a job that has none
        if isinstance(here, Mapping):
            if name not in here:
                known = ", ".join(sorted(here)) or "nothing"
                raise _Missing(
                    f"There is no {name!r} in {{{where}}}; there is {known}.",
                    elsewhere=elsewhere or (where == "event" and name.upper() in EventKind.__members__),
                )
            here = here[name]
        elif isinstance(here, list):
            if not name.isdecimal() or int(name) >= len(here):
                raise _Missing(
                    f"There is no {name!r} in {{{where}}}; it is a list of {len(here)}, from 0.",
                    elsewhere=elsewhere or name.isdecimal(),
                )
            here = here[int(name)]
        else:
            raise _Missing(
                f"There is no {name!r} in {{{where}}}; it is {_text(here)!r}.", elsewhere=elsewhere
            )
    return here


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def _pad(text: str, padding: str, path: Sequence[str]) -> str:
    try:
        return format(text, padding)
    except ValueError:
        raise BadTemplate(
            f"{padding!r} in {{{'.'.join(path)}}} pads no text; write {{…:<20}} or {{…:>8}}."
        ) from None
