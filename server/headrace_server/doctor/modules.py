"""The job modules: imported as a worker imports them, in a process of their own, since they may do anything."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from headrace_server.doctor.finding import Finding, ok, problem, warning

IMPORT_MAX: Final = 60.0
"""Seconds; a module that takes longer keeps a server from starting as well."""

_PLACE = re.compile(r'File "([^"]+)", line (\d+)')


class _Unanswered(Exception):
    """The process that imports has given no answer; the text says how it ended."""


def look(names: Sequence[str], *, entry_points: bool) -> Iterator[Finding]:
    """Each module with its types, or with why it does not load."""
    if not names and not entry_points:
        yield warning("jobs", "No module of jobs is named: a server would take none; name them with --jobs.")
        return
    try:
        loaded = _load(names, entry_points=entry_points)
    except _Unanswered as ended:
        yield from _alone(names, str(ended))
        return
    errors: dict[str, str] = loaded["errors"]
    types: dict[str, list[str]] = loaded["types"]
    for name in dict.fromkeys([*names, *types, *errors]):
        if name in errors:
            yield problem("jobs", _broken(name, errors[name]))
        elif types.get(name):
            yield ok("jobs", f"{name} has {', '.join(sorted(types[name]))}.")
        else:
            yield warning("jobs", f"{name} loads but has no job: decorate a function in it with @job.")
    if not names and not types and not errors:
        yield warning("jobs", "No module of jobs is named or installed: name some with --jobs.")


def _alone(names: Sequence[str], ended: str) -> Iterator[Finding]:
    """Together they end the process that imports them: see which does it."""
    culprits = 0
    for name in names:
        try:
            _load([name], entry_points=False)
        except _Unanswered as alone:
            culprits += 1
            yield problem(
                "jobs",
                f"{name} ends the process that imports it ({alone}): a server could not start; mend the module.",
            )
    if not culprits:
        yield problem("jobs", f"The modules together end the process that imports them ({ended}).")


def _load(names: Sequence[str], *, entry_points: bool) -> dict[str, Any]:
    ours, theirs = os.pipe()
    # -B: nothing is written, bytecode neither.
    command = [sys.executable, "-B", "-m", "headrace_server.doctor.loading"]
    asked = json.dumps({"names": names, "entry_points": entry_points, "answer": theirs})
    with open(ours, "rb") as answer:  # noqa: PTH123 - a descriptor
        try:
            done = subprocess.run(  # noqa: S603 - this very program
                [*command, asked],
                pass_fds=[theirs],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=IMPORT_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _Unanswered(f"not done after {IMPORT_MAX:g} s") from None
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)  # what it has started may still hold the other end
        text = answer.read()
    if not text:
        code = done.returncode
        raise _Unanswered(f"exit code {code}" if code >= 0 else f"signal {-code}")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _broken(name: str, error: str) -> str:
    """The exception's line, and the place in the module's own code where it was raised."""
    line = error.partition("\n")[0].rstrip(".")
    places = _PLACE.findall(error)
    where = f", {places[-1][0]} line {places[-1][1]}" if places else ""
    return f"{name} does not load ({line}{where}): its jobs are refused until that is mended."
