"""The types of job that this server takes, and what fits each of them."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headrace_server.domain.errors import FieldViolation, UnknownType
from headrace_server.domain.ports import TypeDefaults, TypeInfo
from headrace_server.work.known_type import KnownType

_NAMES_SHOWN = 20


class Found(Protocol):
    """What a loader has found: types by name, and by module why it, or a part of it, did not load."""

    @property
    def types(self) -> Mapping[str, KnownType]:
        """The types."""
        ...

    @property
    def errors(self) -> Mapping[str, str]:
        """The errors."""
        ...


class Checker(Protocol):
    """Who has the classes of the jobs: see Loading.check."""

    async def __call__(self, kind: str, parameters: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
        """Check parameters of a type."""
        ...


class Registry:
    """The registered types, as domain.ports.JobTypes asks for them.

    A module that failed to load is no type: it is told by `infos`, and in the log by who loads. asked: for types that
    are checked by classes of their own.
    """

    def __init__(self, asked: Checker) -> None:
        self._asked = asked
        self._types: dict[str, KnownType] = {}
        self._errors: dict[str, str] = {}
        self.names: frozenset[str] = frozenset()
        self.frugal: frozenset[str] = frozenset()
        """The types that use no workspace."""

    def learn(self, found: Found) -> None:
        """Know these types from now on. One whose module does not load any more stays: workers may still have it."""
        kept = {
            name: known
            for name, known in self._types.items()
            if known.via in found.errors or "" in found.errors
        }
        self._types = dict(sorted({**kept, **found.types}.items()))
        self._errors = dict(found.errors)
        self.names = frozenset(self._types)
        self.frugal = frozenset(name for name, known in self._types.items() if not known.info.needs_workspace)

    def defaults(self, type_name: str) -> TypeDefaults:
        """What a type says for jobs that do not. Raises UnknownType."""
        return self._type(type_name).info.defaults

    async def check(
        self, type_name: str, parameters: Mapping[str, Any], *, whole: bool = True
    ) -> dict[str, Any]:
        """Plain parameters as the type's signature understands them.

        Raises UnknownType, InvalidParameter; LoaderUnavailable where they are checked by classes of the type's own.
        """
        known = self._type(type_name)
        if known.check is not None:
            return known.check(parameters, whole=whole)
        return await self._asked(type_name, parameters, whole=whole)

    def infos(self) -> Sequence[TypeInfo]:
        """Every type by name, then the modules that failed to load, or of which a part did."""
        broken = [TypeInfo("", module, load_error=error) for module, error in self._errors.items()]
        return [*(known.info for known in self._types.values()), *broken]

    def _type(self, name: str) -> KnownType:
        known = self._types.get(name)
        if known is None:
            raise UnknownType(FieldViolation("spec.type", self._unknown(name)), type=name)
        return known

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name[:100], self._types, n=3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        shown = ", ".join(list(self._types)[:_NAMES_SHOWN])
        more = len(self._types) - _NAMES_SHOWN
        rest = f" and {more} more" if more > 0 else ""
        return f"There is no type {name[:100]!r} here.{hint} The types are: {shown or 'none'}{rest}."
