"""The check of the parameters of a job, the same in the loader and in the server.

It goes in three steps: plain values become Python values, pydantic makes of each what its
annotation asks for ("32" becomes 32), and the result goes back to the plain form and is stored.
Defaults are stored too, where they have a plain form that the signature takes for the same: a job
is found by them, and runs with those of its submit. A worker makes richer types anew from what was
stored.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from headrace.jobs import Signature
from headrace.values import UnsupportedValue, decode, dumps, encode
from headrace_server.domain.errors import FieldViolation, InvalidParameter
from headrace_server.work.ipc.frames import clean

_FIELD = "spec.parameters"
_WORDS_MAX: Final = 1000
"""Bytes of what an exception of the job's own types says."""

_DEFAULT_MAX: Final = 16 * 1024
"""Characters of a default that is stored with each job; a longer one is left to the function."""


class ParameterCheck:
    """Checks the parameters of one type. coercion: a headrace._work.coerce.Coercion."""

    def __init__(
        self, signature: Signature, coercion: Any, defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Take the defaults from `defaults`, or from the signature when it is None.

        `defaults` holds the plain values of the parameters that may be left out.
        """
        self._signature = signature
        self._coercion = coercion
        self._thorough = defaults is None and not signature.plain
        """Whether there are classes of the job, which may not take back what they give."""
        self.defaults = dict(self._found_defaults()) if defaults is None else defaults

    def __call__(self, parameters: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
        """Return plain parameters as the signature understands them.

        Raises InvalidParameter, naming every bad field.

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
        """Yield the defaults that are the same when a worker reads them.

        An object() that only marks what is missing is not among them.
        """
        for name, parameter in self._signature.parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                with suppress(Exception):  # code of the job's own types
                    plain = encode(self._coercion.dump(name, parameter.default))
                    if len(dumps(plain)) > _DEFAULT_MAX:
                        continue
                    read: dict[str, Any] = {}
                    self._check_one(name, plain, read, [])
                    values, _ = self._coercion.validate({name: decode(plain)})
                    if _same(values[name], parameter.default):
                        yield name, read[name]

    def _stored(self, name: str, plain: Any, value: Any) -> Any:
        """Return what is stored of a value that fits: its plain form, or the value as given.

        The value as given is stored where its class does not accept the plain form again.
        """
        stored = encode(self._coercion.dump(name, value), f"{_FIELD}[{name}]")
        if self._thorough and self._coercion.validate({name: decode(stored)})[1]:
            return plain
        return stored

    def _check_one(self, name: str, plain: Any, checked: dict[str, Any], wrong: list[FieldViolation]) -> None:
        path = f"{_FIELD}[{name}]"
        try:
            values, problems = self._coercion.validate({name: decode(plain)})
            if not problems:
                stored = self._stored(name, plain, values[name])
                if _bool_for_number(plain, stored):
                    wrong.append(FieldViolation(path, "A number is wanted, and true and false are none."))
                checked[name] = stored
        except UnsupportedValue as error:
            wrong.append(FieldViolation(error.path or path, error.description))
        except Exception as error:  # noqa: BLE001 - code of the job's own types
            wrong.append(FieldViolation(path, f"It does not fit the signature: {described(error)}"))
        else:
            wrong.extend(FieldViolation(_FIELD + _bracketed(where, name), text) for where, text in problems)


def described(error: BaseException) -> str:
    """Describe an exception of the job's own types in words, for the caller of this job.

    The exception may fail at that too; then the text says that it cannot be described.
    """
    try:
        text = str(error)
        name = type(error).__name__
        said = text if isinstance(error, ValueError | TypeError) and text else f"{name}: {text}".rstrip(": ")
        return clean(said, _WORDS_MAX)
    except BaseException:  # noqa: BLE001 - likewise
        return "an error that cannot be described"


def _same(value: Any, default: Any) -> bool:
    """Return whether a job may be given one value for the other: equal and of one type.

    A text is not of one type with a member of an Enum. A list may stand for a tuple, and a float
    for an int.
    """
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
