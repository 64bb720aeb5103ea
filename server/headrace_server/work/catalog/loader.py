"""The loader: the process that imports the job modules for the server, which imports none.

    says       ["importing", module]           before it does, so that what it does to this process is known to be its doing
               ["bent", module, [words]]       what it bent, which is put back here
               ["type", module, record]        a type of it: see known_type
               ["loaded", {module: error}, [types]]    that was all; types of which there is no schema
               ["checked", number, fields]     fields: null, or what is wrong; LF the parameters as they are stored
    is asked   ["check", number, type, whole, until] LF parameters          until: by CLOCK_MONOTONIC

It is a child of a supervisor of its own, as workers are of theirs: so it ends with the server, and
everything that a module has started ends with it. It holds no lock. What it writes goes to the
server through a pipe.
"""

import faulthandler
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

from headrace import jobs
from headrace.values import dumps, loads
from headrace_server.domain.errors import InvalidParameter
from headrace_server.work.catalog import bends
from headrace_server.work.catalog.check import described
from headrace_server.work.catalog.signature import JobType
from headrace_server.work.child.child import keep_only, reset_signals
from headrace_server.work.ipc.channel import Receiver, send
from headrace_server.work.ipc.frames import decode, encode
from headrace_server.work.linux import process_tree


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """The settings of a loader.

    `skip`: modules that are left out; `bytecode`: whether the loader may write bytecode.
    """

    modules: Sequence[str]
    entry_points: bool
    path: Sequence[str]
    bytecode: bool
    skip: Sequence[str] = ()


def main(told: Mapping[str, Any], supervisor: int, fds: Sequence[int]) -> NoReturn:
    """Run a loader in a process just forked, with its ends of the socket and the output pipe."""
    settings = LoaderSettings(**told)
    # What spawn and forkserver start would import the supervisor as the main module of the job's
    # program.
    sys.modules["__main__"] = ModuleType("__main__")
    process_tree.die_with_parent(supervisor)
    os.setsid()
    keep_only(fds)
    reset_signals()
    channel, output = fds
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # a TextIOWrapper
    faulthandler.enable(file=2)
    sys.dont_write_bytecode = not settings.bytecode
    sys.path[:] = settings.path
    loader = Loader(socket.socket(fileno=channel))
    loader.load(settings)
    loader.serve()
    os._exit(0)


class _TooLong(BaseException):
    """The time of a check is over.

    This is not an Exception: a job's own validator must not catch it and hold the check up.
    """


class Loader:
    """The main thread of a loader."""

    def __init__(self, sock: socket.socket) -> None:
        self._pid = os.getpid()
        self._sock = sock
        self._receiver = Receiver(sock)
        self._types: dict[str, JobType] = {}
        self._refused: list[str] = []
        self._checking = False

    def load(self, settings: LoaderSettings) -> None:
        """Import the modules, one after the other, and tell of each."""
        loaded = jobs.load(
            settings.modules, settings.entry_points, skip=frozenset(settings.skip), around=self._around
        )
        self._say("loaded", loaded.errors, self._refused)

    @contextmanager
    def _around(self, module: str, loaded: jobs.Loaded) -> Iterator[None]:
        self._say("importing", module)
        before = bends.take()
        yield
        self._be_alone()
        bent = bends.put_back(before)
        self._tell_types(module, loaded)
        if bent:
            self._say("bent", module, bent)

    def _tell_types(self, module: str, loaded: jobs.Loaded) -> None:
        for name in loaded.types.keys() - self._types.keys():
            definition = loaded.types[name]
            try:
                known = JobType(definition)
                record = encode(("type", module, known.record()))
            except Exception as error:  # noqa: BLE001 - annotations bring code of their own
                loaded.refuse(module, f"{definition.name}: its signature has no schema: {error}")
                del loaded.types[name]
                self._refused.append(name)
            else:
                self._types[name] = known
                send(self._sock, record)

    def serve(self) -> None:
        """Check parameters until nobody is there to ask."""
        while frame := self._receiver.frame():
            (_check, number, kind, whole, until), text = decode(frame)
            fields, checked = self._check(kind, text, until, whole=whole)
            send(self._sock, encode(("checked", number, fields), checked))

    def _check(self, kind: str, text: str, until: float, *, whole: bool) -> tuple[Any, str]:
        """Check parameters: return what is wrong, or None, and the parameters as stored.

        When no time is left, nothing is checked.
        """
        left = until - time.monotonic()
        if left <= 0:
            return [], ""
        try:
            self._checking = True
            signal.signal(signal.SIGALRM, self._ring)
            signal.setitimer(signal.ITIMER_REAL, left)
            checked = dumps(self._types[kind].check(loads(text), whole=whole))
            self._checking = False
        except InvalidParameter as error:
            return error.fields, ""
        except _TooLong:
            return [], ""
        except BaseException as error:  # noqa: BLE001 - code of the job's own types
            return [["spec.parameters", f"They do not fit the signature: {described(error)}"]], ""
        finally:
            self._checking = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._be_alone()
        return None, checked

    def _be_alone(self) -> None:
        """End this process unless it is the loader itself.

        A process that a job's code has forked, and that comes back here, is no second loader.
        """
        if os.getpid() != self._pid:
            os._exit(0)

    def _ring(self, _signal: int, _frame: object) -> None:
        if self._checking:
            raise _TooLong

    def _say(self, *header: Any) -> None:
        send(self._sock, encode(header))
