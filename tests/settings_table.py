"""`make settings`: the table of settings in docs/operations.md, made from the settings themselves."""

import sys
from pathlib import Path
from typing import Any

from headrace_server.config import Settings

DOCUMENT = Path(__file__).parents[1] / "docs/operations.md"
BEGIN, END = "<!-- settings: made by `make settings` -->\n", "<!-- /settings -->\n"
OF_THE_MACHINE = {"workers": "as many as processors", "workspace": "in the temporary directory"}
"""Defaults that differ from machine to machine."""


def table() -> str:
    """A row for each setting: its name, its default, what it does."""
    rows = [
        f"|`{name}`|{_default(name, field)}|{field.description}|\n"
        for name, field in Settings.model_fields.items()
    ]
    return "| setting | default | |\n|---|---|---|\n" + "".join(rows)


def _default(name: str, field: Any) -> str:
    if name in OF_THE_MACHINE:
        return OF_THE_MACHINE[name]
    match field.default:
        case bool() as flag:
            return f"`{str(flag).lower()}`"
        case () | None:
            return "none"
        case tuple(parts):
            return f"`{','.join(parts)}`"
        case other:
            return f"`{other:g}`" if isinstance(other, float) else f"`{other}`"


def document() -> str:
    """The document with the table as it should be."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    sys.stdout.write(f"{DOCUMENT} has {len(Settings.model_fields)} settings\n")
