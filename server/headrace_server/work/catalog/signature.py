"""Represent one type in the loader: what fits its signature, and its record for the server."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from types import UnionType
from typing import Any, Final, NoReturn, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from headrace.jobs import JobDefinition, Parameter, fingerprint, is_plain
from headrace_server.domain.ports.job_types import TypeDefaults, TypeInfo
from headrace_server.domain.spec import RetryPolicy
from headrace_server.work.catalog.check import ParameterCheck
from headrace_server.work.catalog.portable import portable_or_none
from headrace_server.work.ipc.frames import clean

DIALECT = "https://json-schema.org/draft/2020-12/schema"

DESCRIPTION_MAX: Final = 4096
"""Bytes."""
SCHEMA_MAX: Final = 128 * 1024
"""Bytes of a schema that is told; of a larger one nothing is."""
_DEFAULT_MAX: Final = 4096
"""Characters of a default in a schema."""
# Bound here: a module of jobs that replaces json.dumps for itself does so for all of its process.
_dumps = json.JSONEncoder(allow_nan=False).encode


class JobType:
    """A type and its signature.

    Raises pydantic's errors for annotations that have no schema.
    """

    def __init__(self, definition: JobDefinition) -> None:
        self._fingerprint = fingerprint(definition)
        self._signature = definition.signature
        self._coercion = definition.signature.coercion
        self.check = ParameterCheck(self._signature, self._coercion)
        self.info = TypeInfo(
            type=definition.type,
            module=clean(str(definition.module)),
            description=clean(_description(definition), DESCRIPTION_MAX),
            parameters_schema=self._parameters_schema(),
            result_schema=self._result_schema(),
            defaults=_defaults(definition),
            needs_workspace=definition.workspace,
            fresh=definition.fresh,
            concurrency=definition.concurrency,
        )

    def record(self) -> dict[str, Any]:
        """Return the record of this type for the server, as JSON can hold it: see known_type."""
        signature = self._signature
        return {
            "info": asdict(self.info),
            "fingerprint": self._fingerprint,
            "parameters": list(signature.parameters),
            "required": sorted(signature.required),
            "more": signature.extra is not None,
            "plain": self._plain(),
        }

    def _plain(self) -> dict[str, Any] | None:
        """Return the schemas by which the server validates.

        Returns None where one of them holds code of the job.
        """
        signature, coercion = self._signature, self._coercion
        schemas = {
            name: portable_or_none(_travelling(given.annotation, coercion.adapters[name]))
            for name, given in signature.parameters.items()
        }
        more = None if coercion.extra is None else portable_or_none(coercion.extra.core_schema)
        if None in schemas.values() or (coercion.extra is not None and more is None):
            return None
        return {
            "schemas": schemas,
            "more": more,
            "as_given": [name for name, given in signature.parameters.items() if is_plain(given.annotation)],
            "more_as_given": is_plain(signature.extra),
            "defaults": self.check.defaults,
        }

    def _parameters_schema(self) -> str:
        """An object with a property for each parameter."""
        coercion = self._coercion
        adapters = dict(coercion.adapters)
        if coercion.extra is not None:
            adapters["*"] = coercion.extra  # no name of a parameter
        schemas, shared = _schemas(adapters)
        extra = schemas.pop("*", False) or True if coercion.extra is not None else False
        for name, given in self._signature.parameters.items():
            schemas[name] = {**schemas[name], **_default(coercion.adapters[name], given)}
        return _told(
            {
                "$schema": DIALECT,
                "type": "object",
                "properties": schemas,
                "required": [name for name in schemas if name in self._signature.required],
                "additionalProperties": extra,
                **shared,
            }
        )

    def _result_schema(self) -> str:
        """Return the schema of the return annotation, or "" where it says nothing.

        That is so where there is no annotation, where it is Any, and where nothing is returned.
        """
        if self._signature.result in (inspect.Parameter.empty, None, type(None), Any, NoReturn):
            return ""
        schemas, shared = _schemas({"result": self._coercion.result})
        return _told({"$schema": DIALECT, **schemas["result"], **shared})


def _told(schema: Mapping[str, Any]) -> str:
    """The text of a schema; one that is too large, or that JSON cannot hold, says that alone."""
    try:
        text = _dumps(schema)
        why = f"is larger than {SCHEMA_MAX} bytes" if len(text) > SCHEMA_MAX else ""
    except ValueError:
        text, why = "", "holds what JSON cannot"
    return _dumps({"$schema": DIALECT, "$comment": f"Left out: it {why}."}) if why else text


def _schemas(adapters: Mapping[str, TypeAdapter[Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of each, and the definitions that they share."""
    made, shared = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in adapters.items()], schema_generator=_Schemas
    )
    return {name: made[name, "validation"] for name in adapters}, {
        name: value for name, value in shared.items() if name == "$defs"
    }


class _Schemas(GenerateJsonSchema):
    """A generator that leaves out classes which validate by a function of their own.

    The loader is asked about those. What no value can hold is refused.
    """

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        if schema["type"] == "function-plain":
            return {}
        return super().handle_invalid_for_json_schema(schema, error_info)


def _default(adapter: TypeAdapter[Any], given: Parameter) -> dict[str, Any]:
    """The default as JSON shows it; left out where JSON cannot."""
    if given.default is inspect.Parameter.empty:
        return {}
    try:
        default = adapter.dump_python(given.default, mode="json", warnings=False)
        return {"default": default} if len(_dumps(default)) <= _DEFAULT_MAX else {}
    except (ValueError, TypeError):
        return {}


def _description(definition: JobDefinition) -> str:
    """The first paragraph of the docstring, on one line."""
    text = definition.target.__doc__ or definition.function.__doc__ or ""
    return " ".join(inspect.cleandoc(text).split("\n\n", 1)[0].split())


def _defaults(definition: JobDefinition) -> TypeDefaults:
    retry, timeout = definition.retry_policy, definition.attempt_timeout
    return TypeDefaults(
        retry=RetryPolicy(
            max_attempts=retry.max_attempts,
            initial_backoff=_microseconds(retry.initial_backoff),
            multiplier=retry.multiplier,
            max_backoff=_microseconds(retry.max_backoff),
        ),
        timeout=None if timeout is None else _microseconds(timeout),
    )


def _travelling(annotation: Any, adapter: TypeAdapter[Any]) -> Any:
    """Return the schema of a parameter, with every sequence as a list.

    A sequence is a list in every value, and pydantic's own schema of it holds code.
    """
    return (TypeAdapter(_listed(annotation)) if is_plain(annotation) else adapter).core_schema


def _listed(annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Sequence:
        return list
    if origin is Sequence:
        return list[_listed(arguments[0])]  # type: ignore[misc] # made at run time
    if origin in (Union, UnionType):
        return Union[tuple(map(_listed, arguments))]  # noqa: UP007 - made at run time
    if origin in (list, dict, Mapping):
        return origin[tuple(map(_listed, arguments))]
    return annotation


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
