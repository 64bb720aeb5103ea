"""Make schemas that can travel: pydantic's schema as JSON, where it holds no code of a job.

The loader has the classes of the jobs, the server has not. A schema that is built of known words,
numbers and texts alone means the same in both, so the server validates by it itself; one with a
class or a callable does not travel, and the loader is asked. Reference and File are classes of our
own: they travel by name.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import SchemaError, SchemaSerializer, SchemaValidator

from headrace.values import File, Reference

_WORDS: Final = frozenset(
    [
        "any",
        "none",
        "bool",
        "int",
        "float",
        "decimal",
        "str",
        "bytes",
        "date",
        "time",
        "datetime",
        "timedelta",
        "literal",
        "list",
        "tuple",
        "set",
        "frozenset",
        "dict",
        "nullable",
        "union",
        "tagged-union",
        "default",
        "uuid",
        "url",
        "multi-host-url",
        "chain",
        "lax-or-strict",
        "json-or-python",
        "typed-dict",
        "typed-dict-field",
        "definitions",
        "definition-ref",
    ]
)
"""The kinds of schemas without code.

A regular expression in them is one of Rust's, which needs no deadline.
"""

_OURS: Final = {"Reference": Reference, "File": File}
_NAMED: Final = frozenset({"fields", "choices"})
"""The keys whose mapping is by names that others have chosen."""

Schema = dict[str, Any]


class NotPortable(Exception):
    """The schema holds code."""


def portable(schema: Any) -> Any:
    """The schema as JSON can hold it. Raises NotPortable."""
    if type(schema) in (list, tuple):
        return [portable(item) for item in schema]
    return _portable_mapping(schema) if type(schema) is dict else _portable_scalar(schema)


def _portable_scalar(schema: Any) -> Any:
    if type(schema) in (str, int, bool, type(None)) or (type(schema) is float and math.isfinite(schema)):
        return schema
    raise NotPortable


def _portable_mapping(schema: Mapping[Any, Any]) -> Schema:
    if not all(type(key) is str for key in schema):
        raise NotPortable
    for name, known in _OURS.items():
        if schema.get("cls") is known:
            return {"type": "ours", "name": name, "ref": schema.get("ref")}
    if schema.get("type") not in _WORDS or schema.get("regex_engine") == "python-re":
        raise NotPortable
    if type(schema.get("default")) in (dict, list, tuple):
        raise NotPortable  # words in it would be taken for a schema's
    return {key: _portable_part(key, item) for key, item in schema.items() if key != "metadata"}


def _portable_part(key: str, item: Any) -> Any:
    if type(item) is not dict:
        return portable(item)
    if key in _NAMED:
        return {name: portable(one) for name, one in item.items()}
    if key == "config":
        return {name: _portable_scalar(one) for name, one in item.items()}
    return portable(item)


def restored(schema: Any) -> Any:
    """The schema of its portable form."""
    if type(schema) is list:
        return [restored(item) for item in schema]
    if type(schema) is not dict:
        return schema
    if schema.get("type") == "ours":
        ours = dict(TypeAdapter(_OURS[schema["name"]]).core_schema)
        return {**ours, "ref": schema["ref"]} if schema["ref"] else ours
    return {key: restored(item) for key, item in schema.items()}


class PlainAdapter:
    """A validator and serializer by a portable schema, used like a TypeAdapter.

    Raises pydantic_core.SchemaError for a bad schema.
    """

    def __init__(self, schema: Any) -> None:
        made = restored(schema)
        self.validate_python = SchemaValidator(made).validate_python
        self._serializer = SchemaSerializer(made)

    def dump_python(self, value: Any, *, warnings: bool) -> Any:
        """The value, taken apart."""
        return self._serializer.to_python(value, warnings=warnings)


def portable_or_none(schema: Any) -> Any | None:
    """The portable form of a schema, if it has one by which a validator can be made."""
    try:
        form = portable(schema)
        PlainAdapter(form)
    except (NotPortable, SchemaError):
        return None
    return form
