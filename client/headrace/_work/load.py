"""Finding the jobs and resources of modules.

A package stands for all its modules, at any depth, but for its tests and `__main__`.
"""

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import entry_points as installed_entry_points
from types import ModuleType
from typing import Any, Final

from headrace._work.definition import JobDefinition, ResourceDefinition, definition_of, resource_of
from headrace._work.failure import cut, type_name

ENTRY_POINTS: Final = "headrace.jobs"
"""The entry-point group by which an installed package names its job modules."""

_ERROR_MAX = 8 * 1024
_NO_JOBS = frozenset({"__main__", "conftest", "test", "tests"})

Around = Callable[[str, "Loaded"], AbstractContextManager[object]]
"""Entered with the name of a module before it is imported, left when its jobs are known."""


@dataclass(slots=True)
class Loaded:
    """The content of the loaded modules, and the errors of those that failed.

    It holds jobs by type and resources by name, and by module the reason why it, or a part of it,
    did not load.
    """

    types: dict[str, JobDefinition] = field(default_factory=dict)
    resources: dict[str, ResourceDefinition] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def refuse(self, module: str, sentence: str) -> None:
        """Note why a module, or a part of it, did not load."""
        before = self.errors.get(module)
        self.errors[module] = f"{before}\n{sentence}" if before else sentence


def load(
    modules: Iterable[str],
    entry_points: bool,
    *,
    skip: Collection[str] = (),
    around: Around = lambda _name, _loaded: nullcontext(),
) -> Loaded:
    """Import the named modules and those of the entry-point group, and collect their jobs.

    Modules are given by their dotted names.

    Raises nothing for a module that fails: its text is in `errors` and the others load. A type or a
    resource that two modules have is the first one's, and an error of the second. skip: modules
    that are left out, without a word.
    """
    loaded = Loaded()
    done = set(skip)
    for name in (*modules, *(installed(loaded) if entry_points else ())):
        _load_one(name, loaded, done, around)
    return loaded


def installed(loaded: Loaded) -> Mapping[str, str]:
    """Return the modules that installed packages name, each with the package that does.

    The package is part of a phrase about its entry point. Entry points that name no module are
    refused.
    """
    found = {}
    for entry in sorted(installed_entry_points(group=ENTRY_POINTS)):
        package = entry.dist.name if entry.dist else "unknown"
        words = f"entry point {entry.name!r} of {package}"
        try:
            found[entry.module] = words
        except AttributeError:  # its value is no name of a module
            loaded.refuse(words, f"{entry.value!r} names no module.")
    return found


def _load_one(name: str, loaded: Loaded, done: set[str], around: Around) -> None:
    """Load a module and those below it, except for modules that are done.

    A module may be named both by itself and by its package.
    """
    if name in done:
        return
    done.add(name)
    with around(name, loaded):
        module = _import(name, loaded)
        if module is not None:
            _collect(name, module, loaded)
    if module is not None:
        for below in _modules_of(name, module):
            _load_one(below, loaded, done, around)


def _modules_of(name: str, package: object) -> Iterator[str]:
    """The modules of a package, by full name; none for a module."""
    # Not getattr: a module may have a __getattr__, or have put another object in its place.
    for found in pkgutil.iter_modules(_contents(package).get("__path__", ())):
        if found.name not in _NO_JOBS and not found.name.startswith("test_"):
            yield f"{name}.{found.name}"


def _contents(module: object) -> Mapping[str, Any]:
    """Return the attributes of a module.

    It is empty if the module has replaced itself by an object that lists none.
    """
    try:
        found = vars(module)
    except Exception:  # noqa: BLE001 - a __getattr__ of the module's own
        return {}
    return found if isinstance(found, Mapping) else {}


def _import(name: str, loaded: Loaded) -> ModuleType | None:
    try:
        # One that is new since the last load may be in a folder that the import system has already
        # read.
        importlib.invalidate_caches()
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise  # the operator's
    except BaseException as error:  # noqa: BLE001 - a module may even call sys.exit
        loaded.refuse(name, _import_error(error))
        return None


def _import_error(error: BaseException) -> str:
    """The line of the exception, then its traceback from the module's own code on."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__) and not frame.filename.startswith("<frozen ")
    ]
    only = traceback.format_exception_only(error)
    line = "".join([*only[-1:], *only[:-1]]) or type_name(error)  # that of a SyntaxError is the last
    return cut("".join([line, *traceback.format_list(frames)]).rstrip(), _ERROR_MAX)


def _collect(name: str, module: object, loaded: Loaded) -> None:
    for thing in list(_contents(module).values()):
        resource = resource_of(thing)
        if resource is not None:
            known = loaded.resources.setdefault(resource.name, resource)
            if _origin(known) != _origin(resource):
                loaded.refuse(name, f"Resource {resource.name!r} is also made by {known.make.__module__}.")
        try:
            job = definition_of(thing)
            if job is not None:
                _register(name, job, loaded)
        except Exception as error:  # noqa: BLE001 - annotations run code of the module
            loaded.refuse(name, f"{getattr(thing, '__qualname__', thing)}: {error}")


def _register(name: str, job: JobDefinition, loaded: Loaded) -> None:
    _ = job.signature  # raises where it cannot be understood
    known = loaded.types.setdefault(job.type, job)
    if known.origin != job.origin:
        loaded.refuse(name, f"Type {job.type!r} of {job.name} is already that of {known.name}.")


def _origin(resource: ResourceDefinition) -> tuple[str, str]:
    """Return where a resource was written.

    It is the same for one source file that is imported under two names.
    """
    code = getattr(resource.make, "__code__", None)
    return (code.co_filename if code else resource.make.__module__, resource.make.__qualname__)
