"""The check of the parameters of a job, the same in the loader and in the server.

It goes in three steps: plain values become Python values, pydantic makes of each what its annotation asks for ("32"
becomes 32), and the result goes back to the plain form and is stored. Defaults are stored too, where they have a plain form
that the signature takes for the same: a job is found by them, and runs with those of its submit. A worker makes richer types
anew from what was stored.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic_core import PydanticSerializationError

from headrace.jobs import Signature
from headrace.values import UnsupportedValue, decode, encode
from headrace_server.domain.errors import FieldViolation, InvalidParameter

_FIELD = "spec.parameters"


class ParameterCheck:
    """Checks the parameters of one type. coercion: a headrace._work.coerce.Coercion."""

    def __init__(
        self, signature: Signature, coercion: Any, defaults: Mapping[str, Any] | None = None
    ) -> None:
        """defaults: plain values of parameters that may be left out; None: found in the signature."""
        self._signature = signature
        self._coercion = coercion
        self.defaults = dict(self._found_defaults()) if defaults is None else defaults

    def __call__(self, parameters: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
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
        return {**self.defaults, **checked} if whole else checked

    def _found_defaults(self) -> Iterator[tuple[str, Any]]:
        """Those that are the same when a worker reads them: not an object() that only marks what is missing."""
        for name, parameter in self._signature.parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                with suppress(Exception):  # code of the job's own types
                    plain = encode(self._coercion.dump(name, parameter.default))
                    read: dict[str, Any] = {}
                    self._check_one(name, plain, read, [])
                    values, _ = self._coercion.validate({name: decode(plain)})
                    if _same(values[name], parameter.default):
                        yield name, read[name]

    def _check_one(self, name: str, plain: Any, checked: dict[str, Any], wrong: list[FieldViolation]) -> None:
        path = f"{_FIELD}[{name}]"
        try:
            values, problems = self._coercion.validate({name: decode(plain)})
            if not problems:
                stored = encode(self._coercion.dump(name, values[name]), path)
                if _bool_for_number(plain, stored):
                    wrong.append(FieldViolation(path, "A number is wanted, and true and false are none."))
                checked[name] = stored
        except UnsupportedValue as error:
            wrong.append(FieldViolation(error.path or path, error.description))
        except (ValueError, TypeError, PydanticSerializationError) as error:
            # Code of the job's own types; what it says is for the caller of this job.
            wrong.append(FieldViolation(path, f"It does not fit the signature: {error}"))
        else:
            wrong.extend(FieldViolation(_FIELD + _bracketed(where, name), text) for where, text in problems)


def _same(value: Any, default: Any) -> bool:
    """Whether a job may be given the one for the other: equal, and of one type, which a text is not with a member of an Enum."""
    if isinstance(value, list) and type(default) in (list, tuple):
        return len(value) == len(default) and all(map(_same, value, default))
    if type(value) is type(default) is dict:
        return value.keys() == default.keys() and all(_same(value[key], default[key]) for key in value)
    kinds = (type(value), type(default))
    return (kinds[0] is kinds[1] or kinds == (float, int)) and bool(value == default)


def _bool_for_number(given: Any, stored: Any) -> bool:
    """Whether a bool was taken for the number 0 or 1, as pydantic does."""
    if type(given) is bool:
        return type(stored) in (int, float)
    if type(given) is type(stored) is list:
        return any(map(_bool_for_number, given, stored))
    if type(given) is type(stored) is dict:
        return any(_bool_for_number(given[key], stored[key]) for key in given.keys() & stored.keys())
    return False


def _bracketed(path: str, name: str) -> str:
    """A path of a problem, such as `sizes[3]`, behind the field: `[sizes][3]`."""
    return f"[{name}]{path[len(name) :]}"
