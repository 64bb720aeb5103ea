"""The types of job that this server takes, and what fits each of them."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from headrace.jobs import Fingerprint
from headrace_server.domain.errors import FieldViolation, UnknownType
from headrace_server.domain.ports.job_types import TypeDefaults, TypeInfo
from headrace_server.work.catalog.known_type import KnownType
from headrace_server.work.executor import Types
from headrace_server.work.ipc.frames import clean

_NAMES_SHOWN = 20
_ERRORS_SHOWN = 3
_ERROR_MAX = 16 * 1024
"""Bytes of what a worker tells of one module."""


class Found(Protocol):
    """The result of a loader: types by name, and errors by module.

    An error says why a module, or a part of it, did not load.
    """

    @property
    def types(self) -> Mapping[str, KnownType]:
        """The types."""
        ...

    @property
    def errors(self) -> Mapping[str, str]:
        """The errors."""
        ...

    @property
    def refused(self) -> frozenset[str]:
        """Types that the server does not take, though workers may load them."""
        ...


class Checker(Protocol):
    """The check that is made where the classes of the jobs are: see Loading.check."""

    async def __call__(self, kind: str, parameters: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
        """Check parameters of a type."""
        ...


@dataclass(frozen=True, slots=True)
class Worker:
    """The types that a worker has loaded, with fingerprints, and by module why not more."""

    types: Types
    errors: Mapping[str, str]


class Registry:
    """The registered types, and what the workers have of them.

    The types are given as domain.ports.job_types.JobTypes asks for them.

    A module that failed to load is no type: it is told by `infos`, and in the log by who loads.
    asked: for types that are checked by classes of their own.
    """

    def __init__(self, asked: Checker) -> None:
        self._asked = asked
        self._types: dict[str, KnownType] = {}
        self._errors: dict[str, str] = {}
        self._refused: frozenset[str] = frozenset()
        self.names: frozenset[str] = frozenset()
        self.workers: dict[str, Worker] = {}
        """By slot. One that is being replaced has what the one before had."""
        self.frugal: frozenset[str] = frozenset()
        """The types that use no workspace."""

    def learn(self, found: Found) -> None:
        """Use these types from now on.

        A type whose module does not load any more stays: workers may still have it.
        """
        kept = {
            name: known
            for name, known in self._types.items()
            if known.via in found.errors or "" in found.errors
        }
        self._types = dict(sorted({**kept, **found.types}.items()))
        self._errors = dict(found.errors)
        self._refused = found.refused
        self.names = frozenset(self._types)
        self.frugal = frozenset(name for name, known in self._types.items() if not known.info.needs_workspace)

    @property
    def versions(self) -> Mapping[str, Fingerprint]:
        """The types, each with its fingerprint."""
        return {name: known.fingerprint for name, known in self._types.items()}

    def hear(self, slot: str, types: Types, errors: Mapping[str, str]) -> None:
        """Record what the worker of a slot has loaded."""
        told = {clean(module): clean(error, _ERROR_MAX) for module, error in errors.items()}
        self.workers[slot] = Worker(types, told)

    @property
    def served(self) -> frozenset[str]:
        """The types that some worker has loaded, or all while no worker has reported any."""
        return self.names - self._nowhere()

    def _nowhere(self) -> frozenset[str]:
        if not self.workers:
            return frozenset()
        return self.names.difference(*map(self.able, self.workers))

    def able(self, slot: str) -> frozenset[str]:
        """Return the types that a slot's worker has loaded with the parameters of the server."""
        return self._agreed(slot, lambda server, worker: server.takes == worker.takes)

    def behind(self, slot: str) -> bool:
        """Whether the worker of a slot lacks a type of the server, or has it otherwise."""
        return not self.names <= self._agreed(slot, lambda server, worker: server == worker)

    def _agreed(self, slot: str, same: Callable[[Fingerprint, Fingerprint], bool]) -> frozenset[str]:
        """Return the types of a slot's worker that agree with those of the server.

        A type without a fingerprint, or one that the server does not know, is taken for the same.
        """
        loaded = self.workers[slot].types
        return frozenset(
            name
            for name, told in loaded.items()
            if not told
            or name not in self._types
            or same(self._types[name].fingerprint, Fingerprint(*told[:2]))
        )

    def difference(self, slot: str) -> str:
        """Say in words what a slot's worker has loaded differently from the server, or ""."""
        worker, able, parts = self.workers[slot], self.able(slot), []
        lacks = sorted(self.names - worker.types.keys())
        others = sorted((self.names & worker.types.keys()) - able)
        settings = sorted(able & self.names - self._agreed(slot, lambda server, worker: server == worker))
        more = sorted(worker.types.keys() - self.names - self._refused)
        if lacks:
            parts.append(
                f"{slot} has not loaded {_some(lacks)}, and gets no jobs of that{self._why(worker, lacks)}."
            )
        if others:
            parts.append(
                f"{slot} has loaded {_some(others)} with other parameters, and gets no jobs of that."
            )
        if settings:
            parts.append(
                f"{slot} has loaded {_some(settings)} with other settings; those of the server count."
            )
        if more:
            parts.append(f"{slot} has loaded {_some(more)}, which this server has not.")
        return " ".join(parts)

    def _why(self, worker: Worker, lacks: Sequence[str]) -> str:
        """The first lines of the errors of modules from which those types come, or of all."""
        via = {self._types[name].via for name in lacks}
        errors = {module: error for module, error in worker.errors.items() if module in via} or worker.errors
        lines = [f"{module}: {error.partition(chr(10))[0].rstrip('.')}" for module, error in errors.items()]
        return f" ({'; '.join(lines[:_ERRORS_SHOWN])})" if lines else ""

    def defaults(self, type_name: str) -> TypeDefaults:
        """Return the defaults of a type, for jobs that set nothing themselves.

        Raises UnknownType.
        """
        return self._type(type_name).info.defaults

    async def check(
        self, type_name: str, parameters: Mapping[str, Any], *, whole: bool = True
    ) -> dict[str, Any]:
        """Plain parameters as the type's signature understands them.

        Raises UnknownType, InvalidParameter; LoaderUnavailable where they are checked by classes of
        the type's own.
        """
        known = self._type(type_name)
        if known.check is not None:
            return known.check(parameters, whole=whole)
        return await self._asked(type_name, parameters, whole=whole)

    def infos(self) -> Sequence[TypeInfo]:
        """Return every type by name, then the modules that failed, and the workers that differ.

        A module is listed too when only a part of it failed to load.
        """
        nowhere = self._nowhere()
        types = [
            replace(known.info, load_error=self._unloaded(name)) if name in nowhere else known.info
            for name, known in self._types.items()
        ]
        broken = [TypeInfo("", module, load_error=error) for module, error in self._errors.items()]
        differing = [
            TypeInfo("", slot, load_error=said) for slot in self.workers if (said := self.difference(slot))
        ]
        return [*types, *broken, *differing]

    def _unloaded(self, name: str) -> str:
        why = next(filter(None, (self._why(worker, [name]) for worker in self.workers.values())), "")
        if any(name in worker.types for worker in self.workers.values()):
            return "No worker of this instance has loaded it with these parameters: its jobs stay QUEUED here until one has."
        return f"No worker of this instance has loaded it: its jobs stay QUEUED here{why}."

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


def _some(names: Sequence[str], shown: int = 5) -> str:
    """Some of these names, and how many more."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
