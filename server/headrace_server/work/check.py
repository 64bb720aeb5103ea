"""The check of the parameters of a job, the same in the loader and in the server.

It goes in three steps: plain values become Python values, pydantic makes of each what its annotation asks for ("32"
becomes 32), and the result goes back to the plain form and is stored. Defaults are not filled in, so that a job runs
with those of the code that runs it. A worker makes richer types anew from what was stored.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError

from headrace.jobs import Signature
from headrace.values import UnsupportedValue, decode, encode
from headrace_server.domain.errors import FieldViolation, InvalidParameter

_FIELD = "spec.parameters"


class ParameterCheck:
    """Checks the parameters of one type. coercion: a headrace._work.coerce.Coercion."""

    def __init__(self, signature: Signature, coercion: Any) -> None:
        self._signature = signature
        self._coercion = coercion

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


def _bracketed(path: str, name: str) -> str:
    """A path of a problem, such as `sizes[3]`, behind the field: `[sizes][3]`."""
    return f"[{name}]{path[len(name) :]}"
