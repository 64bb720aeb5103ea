"""The types of job that this server has loaded, and what fits each of them."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Self

from headrace.jobs import load
from headrace_server.domain.errors import FieldViolation, UnknownType
from headrace_server.domain.ports import TypeDefaults, TypeInfo
from headrace_server.work.signature import JobType

_NAMES_SHOWN = 20


class Registry:
    """The registered types, as domain.ports.JobTypes asks for them.

    A module that failed to load is no type: it is told by `infos`, and in the log by who loads.
    """

    def __init__(self, types: Mapping[str, JobType], errors: Mapping[str, str]) -> None:
        self._types = dict(sorted(types.items()))
        self._errors = dict(errors)

    @classmethod
    def load(cls, modules: Sequence[str], *, entry_points: bool) -> Self:
        """Import modules by their dotted names, and those of the entry-point group headrace.jobs.

        Raises nothing for a module or a signature that is broken: the others load.
        """
        loaded = load(modules, entry_points=entry_points)
        types: dict[str, JobType] = {}
        for name, definition in loaded.types.items():
            try:
                types[name] = JobType(definition)
            except Exception as error:  # noqa: BLE001 - annotations bring code of their own
                sentence = f"{definition.name}: its signature has no schema: {error}"
                loaded.refuse(definition.module, sentence)
        return cls(types, loaded.errors)

    @property
    def names(self) -> frozenset[str]:
        """The types that can be submitted."""
        return frozenset(self._types)

    @property
    def needing_workspace(self) -> frozenset[str]:
        """The types that use a workspace."""
        return frozenset(name for name, known in self._types.items() if known.info.needs_workspace)

    def defaults(self, type_name: str) -> TypeDefaults:
        """What a type says for jobs that do not. Raises UnknownType."""
        return self._type(type_name).info.defaults

    async def check(
        self, type_name: str, parameters: Mapping[str, Any], *, whole: bool = True
    ) -> dict[str, Any]:
        """Plain parameters as the type's signature understands them. Raises UnknownType, InvalidParameter."""
        return self._type(type_name).check(parameters, whole=whole)

    def infos(self) -> Sequence[TypeInfo]:
        """Every type by name, then the modules that failed to load, or of which a part did."""
        broken = [TypeInfo("", module, load_error=error) for module, error in self._errors.items()]
        return [*(known.info for known in self._types.values()), *broken]

    def _type(self, name: str) -> JobType:
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
