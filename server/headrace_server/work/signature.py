"""One registered type as the server sees it: which parameters fit its signature, and what it tells callers of itself.

A call is checked in three steps: plain values become Python values, pydantic makes of each what its annotation asks
for ("32" becomes 32), and the result goes back to the plain form and is stored. Defaults are not filled in, so that a
job runs with those of the code that runs it. A worker makes richer types anew from what was stored.
"""

import inspect
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from headrace.jobs import JobDefinition, Parameter
from headrace.values import UnsupportedValue, decode, encode
from headrace_server.domain.errors import FieldViolation, InvalidParameter
from headrace_server.domain.job import RetryPolicy
from headrace_server.domain.ports import TypeDefaults, TypeInfo

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FIELD = "spec.parameters"


class JobType:
    """A type and its signature. Raises pydantic's errors for annotations of which there is no schema."""

    def __init__(self, definition: JobDefinition) -> None:
        self._signature = definition.signature
        self._coercion = definition.signature.coercion
        self.info = TypeInfo(
            type=definition.type,
            module=definition.module,
            description=_description(definition),
            parameters_schema=self._parameters_schema(),
            result_schema=self._result_schema(),
            defaults=_defaults(definition),
            needs_workspace=definition.workspace,
        )

    def check(self, parameters: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
        """Plain parameters as the signature understands them. Raises InvalidParameter, naming every bad field.

        whole=False: these are some of them, and none is missing.
        """
        misfits = self._signature.misfits(list(parameters), whole=whole)
        wrong = [FieldViolation(f"{_FIELD}[{name}]", sentence) for name, sentence in misfits.items()]
        checked: dict[str, Any] = {}
        for name, plain in parameters.items():
            if name not in misfits:
                self._check_one(name, plain, checked, wrong)
        if wrong:
            raise InvalidParameter(*wrong)
        return checked

    def _check_one(self, name: str, plain: Any, checked: dict[str, Any], wrong: list[FieldViolation]) -> None:
        path = f"{_FIELD}[{name}]"
        try:
            values, problems = self._coercion.validate({name: decode(plain)})
            if not problems:
                checked[name] = encode(self._coercion.dump(name, values[name]), path)
        except UnsupportedValue as error:
            wrong.append(FieldViolation(error.path or path, error.description))
        except (ValueError, TypeError, PydanticSerializationError) as error:
            # Code of the job's own types; what it says is for the caller of this job.
            wrong.append(FieldViolation(path, f"It does not fit the signature: {error}"))
        else:
            wrong.extend(FieldViolation(_FIELD + _bracketed(where, name), text) for where, text in problems)

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
        return json.dumps(
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
        """The schema of the return annotation; empty where there is none, or nothing is returned."""
        if self._signature.result in (inspect.Parameter.empty, None, type(None), Any, NoReturn):
            return ""
        schemas, shared = _schemas({"result": self._coercion.result})
        return json.dumps({"$schema": DIALECT, **schemas["result"], **shared})


def _schemas(adapters: Mapping[str, TypeAdapter[Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of each, and the definitions that they share."""
    made, shared = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in adapters.items()]
    )
    return {name: made[name, "validation"] for name in adapters}, {
        name: value for name, value in shared.items() if name == "$defs"
    }


def _default(adapter: TypeAdapter[Any], given: Parameter) -> dict[str, Any]:
    """The default as JSON shows it; left out where JSON cannot."""
    if given.default is inspect.Parameter.empty:
        return {}
    try:
        return {"default": adapter.dump_python(given.default, mode="json", warnings=False)}
    except (ValueError, TypeError):
        return {}


def _bracketed(path: str, name: str) -> str:
    """A path of a problem, such as `sizes[3]`, behind the field: `[sizes][3]`."""
    return f"[{name}]{path[len(name) :]}"


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


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
