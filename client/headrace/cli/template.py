r"""The templates of --format: text with placeholders such as {job.spec.parameters.file}.

A placeholder is a path of names through the data that -o json shows, and of numbers through its lists. Nothing but
that data can be reached. A format such as {job.status:>10} pads; {{ and }} are braces, \t and \n what they are in C.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Self

from headrace.cli.record import Record


class BadTemplate(ValueError):
    """A template cannot be read, or names what is not there; the text says what is."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read: text, each time with the path and the padding that follow it, if any."""

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

    def fill(self, record: Record) -> str:
        """The text for a record. Raises BadTemplate for a name that it does not have."""
        root = {record.kind: record.data}
        return "".join(
            literal + ("" if path is None else _pad(_text(_look_up(root, path)), padding, path))
            for literal, path, padding in self.parts
        )


def _look_up(root: Mapping[str, Any], path: Sequence[str]) -> Any:
    here: Any = root
    for depth, name in enumerate(path):
        where = ".".join(path[:depth])
        if here is None:
            return None  # such as the error of a job that has none
        if isinstance(here, Mapping):
            if name not in here:
                known = ", ".join(sorted(here)) or "nothing"
                raise BadTemplate(f"There is no {name!r} in {{{where}}}; there is {known}.")
            here = here[name]
        elif isinstance(here, list):
            if not name.isdecimal() or int(name) >= len(here):
                raise BadTemplate(
                    f"There is no {name!r} in {{{where}}}; it is a list of {len(here)}, from 0."
                )
            here = here[int(name)]
        else:
            raise BadTemplate(f"There is no {name!r} in {{{where}}}; it is {_text(here)!r}.")
    return here


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pad(text: str, padding: str, path: Sequence[str]) -> str:
    try:
        return format(text, padding)
    except ValueError:
        raise BadTemplate(
            f"{padding!r} in {{{'.'.join(path)}}} pads no text; write {{…:<20}} or {{…:>8}}."
        ) from None
