"""Reads parameters and labels as they are typed: name=text, name:=json, key=value.

JSON may hold the words of `notation`.
"""

import errno
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from headrace.cli import notation

_STDIN = Path("-")
_ASSIGNMENT = re.compile(r"(?P<name>[^=:]+)(?P<sign>:?=)(?P<value>.*)", re.DOTALL)


def read_parameters(assignments: Iterable[str], file: Path | None = None) -> dict[str, Any]:
    """Return the parameters from name=text and name:=json, and from a file.

    Those that were typed override those in the file. Raises ValueError.
    """
    given: dict[str, Any] = {}
    for text in assignments:
        name, value = _parameter(text)
        if name in given:
            raise ValueError(f"Parameter {name!r} is given twice.")
        given[name] = value
    return {**(read_file(file) if file else {}), **given}


def read_values(assignments: Iterable[str]) -> dict[str, Any]:
    """Values to filter by: name=text and name:=json. Raises ValueError."""
    return dict(_parameter(text) for text in assignments)


def read_texts(assignments: Iterable[str]) -> dict[str, str]:
    """Texts by key: key=text. Raises ValueError."""
    texts: dict[str, str] = {}
    for text in assignments:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise ValueError(f"{text!r} is not of the form key=value.")
        texts[key] = value
    return texts


def read_file(path: Path) -> dict[str, Any]:
    """Return the parameters in a file, or in stdin for `-`.

    The content is a JSON object or a YAML mapping. Raises ValueError.
    """
    try:
        text = _stdin() if path == _STDIN else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"{path} cannot be read: {reason}.") from None
    try:
        # Read as JSON where it says so: what YAML makes of a number or a word is another matter.
        content = read_json(text) if path.suffix == ".json" or _is_json(text) else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        what = "JSON" if path.suffix == ".json" else "YAML"
        raise ValueError(f"{path} holds no {what}: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise ValueError(  # noqa: TRY004 - the file is wrong, not a type
            f"{path} holds no parameters by name, but {type(content).__name__}."
        )
    try:
        return {name: notation.read(value) for name, value in content.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _parameter(text: str) -> tuple[str, Any]:
    match = _ASSIGNMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form name=text or name:=json.")
    name, value = match["name"], match["value"]
    if match["sign"] == "=":
        return name, value
    try:
        written = read_json(value)
    except ValueError as error:
        raise ValueError(
            f"{value!r} of {name} is no JSON ({error}); write {name}={value} for text."
        ) from None
    try:
        return name, notation.read(written)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _stdin() -> str:
    if sys.stdin is None:
        raise OSError(errno.EBADF, "there is no stdin")
    return sys.stdin.buffer.read().decode()


def _is_json(text: str) -> bool:
    """Whether a text is JSON, of which YAML would make other things: 1e5 is text to it."""
    try:
        read_json(text)
    except ValueError:
        return False
    return True


def read_json(text: str) -> Any:
    """JSON as it is defined, without NaN and Infinity."""

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON number")

    return json.loads(text, parse_constant=refuse)
