"""Check the job modules by importing them as a server does.

That is done in a process of their own, since they may do anything.
"""

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence

from headrace.jobs import Loaded, installed
from headrace_server.doctor.finding import Finding, ok, problem, warning
from headrace_server.work.catalog.bends import sentences
from headrace_server.work.loading import Loading

_PLACE = re.compile(r'File "([^"]+)", line (\d+)')


def look(names: Sequence[str], *, entry_points: bool, seconds: float) -> Iterator[Finding]:
    """Yield findings on each module: its types, what it bends, or why it does not load.

    `seconds`: the limit for the import of each.
    """
    if not names and not entry_points:
        yield warning("jobs", "No module of jobs is named: a server would take none; name them with --jobs.")
        return
    origins = installed(Loaded()) if entry_points else {}
    loading = asyncio.run(_load(names, entry_points=entry_points, seconds=seconds))
    found = loading.found
    for name in dict.fromkeys([*names, *found.modules, *found.errors]):
        shown = f"{name} ({origins[name]})" if name in origins and name not in names else name
        types = [one for module, some in found.modules.items() if _within(module, name) for one in some]
        if name in loading.left_out:
            yield problem("jobs", f"{shown} is left out, and its jobs are refused. {found.errors[name]}")
        elif name in found.errors:
            yield problem("jobs", _broken(shown, found.errors[name]))
        elif found.modules.get(name):
            yield ok("jobs", f"{shown} has {', '.join(sorted(found.modules[name]))}.")
        elif not types and (name in names or name in origins):
            yield warning("jobs", f"{shown} loads but has no job: decorate a function in it with @job.")
        elif types and name in origins:
            yield ok("jobs", f"{shown} is a package; its modules have {', '.join(sorted(types))}.")
        for sentence in sentences(found.bends.get(name, ())):
            yield warning("jobs", f"{shown} {sentence}.")
    if not names and not found.modules and not found.errors:
        yield warning("jobs", "No module of jobs is named or installed: name some with --jobs.")


async def _load(names: Sequence[str], *, entry_points: bool, seconds: float) -> Loading:
    # What a server would log is said by the findings.
    silent = logging.Logger("doctor")  # noqa: LOG001 - one without handlers, that nobody else is given
    silent.addHandler(logging.NullHandler())
    # Nothing is written, bytecode neither.
    loading = Loading(names, entry_points=entry_points, load_seconds=seconds, bytecode=False, log=silent)
    try:
        await loading.first()
    finally:
        await loading.close()
    return loading


def _within(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def _broken(name: str, error: str) -> str:
    """The exception's line, and the place in the module's own code where it was raised."""
    line = error.partition("\n")[0].rstrip(".")
    places = _PLACE.findall(error)
    where = f", {places[-1][0]} line {places[-1][1]}" if places else ""
    return f"{name} does not load ({line}{where}): its jobs are refused until that is mended."
