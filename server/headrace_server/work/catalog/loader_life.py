"""One loader, from its start to its end, as the server follows it."""

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.values import dumps
from headrace_server.work.catalog.known_type import KnownType
from headrace_server.work.catalog.loader_connection import LoaderConnection
from headrace_server.work.ipc.frames import clean, decode, encode

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_ERROR_MAX: Final = 16 * 1024
"""The most bytes that the error of one module has."""


@dataclass(slots=True)
class Load:
    """The result of a loader: its types, and by module the errors and what its import bends.

    `errors` says why a module, or a part of it, did not load.

    modules: those that were imported, in order, with the types that came with each. refused: types
    that workers have, but of whose signature there is no schema.
    """

    types: dict[str, KnownType] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    bends: dict[str, list[str]] = field(default_factory=dict)
    modules: dict[str, list[str]] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to a check.

    `wrong` lists what is wrong as (field, sentence), and is None for nothing. `parameters` are the
    parameters as they are stored.
    """

    wrong: list[tuple[str, str]] | None
    parameters: str

    @property
    def late(self) -> bool:
        """Whether the check was given up, so that nothing is known of the parameters."""
        return self.wrong == []


class LoaderLife:
    """One loader, from its start to its end.

    `seconds` is the limit for each module. `on_hang` is called with this object when something has
    taken too long.
    """

    def __init__(self, seconds: float, on_hang: Callable[["LoaderLife"], None]) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self.load = Load()
        self.importing = ""
        """The module that is being imported, or was the last."""
        self.settled: asyncio.Future[str] = loop.create_future()
        """Why it did not load everything; "" when it has."""
        self.line = LoaderConnection(self._heard)
        self.ended = asyncio.Event()
        self.hung = False
        """Whether the loader was killed because something had taken too long."""
        self.number = 0
        """The number that its supervisor has for this loader."""
        self._seconds = seconds
        self._on_hang = on_hang
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Checked]] = {}
        self._said = 0
        self._cause = ""
        self._watch: asyncio.TimerHandle | None = None
        self._said_by_kind: Mapping[str, Callable[[list[Any], str], None]] = {
            "importing": self._importing,
            "type": self._type,
            "bent": self._bent,
            "loaded": self._loaded,
            "checked": self._checked,
        }
        self._wait_for_it()

    @property
    def alive(self) -> bool:
        """Whether the loader has loaded the modules and has not ended since."""
        return self.settled.done() and not self.settled.result() and not self._cause

    async def ask(self, kind: str, parameters: Mapping[str, Any], until: float, *, whole: bool) -> Checked:
        """Have parameters checked; the caller has its own time limit.

        Raises ConnectionError when the loader ends before it answers.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Checked] = self._loop.create_future()
        self._asked[number] = answer
        try:
            self.line.post(encode(("check", number, kind, whole, until), dumps(parameters)))
            return await answer
        finally:
            self._asked.pop(number, None)

    def expect(self, seconds: float) -> None:
        """It has not answered in time: unless it says anything within so long, it hangs."""
        if self._watch is None:
            self._watch = self._loop.call_later(seconds, self._hangs, self._said)

    def end(self, cause: str) -> None:
        """It has ended: read what it said last."""
        self.line.close()
        self._rest()
        if not self._cause:
            words = self.line.last_words
            how = cause if cause.startswith("exited") else f"was {cause}"
            self._cause = f"{how}: {words}" if words else how
        if not self.settled.done():
            self.settled.set_result(self.why)
        self.ended.set()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionError(self._cause))

    @property
    def why(self) -> str:
        """The cause as a sentence of the module that is to blame; "" while it has not ended."""
        return self._cause and f"The process that imports it {self._cause}."

    @property
    def asked(self) -> bool:
        """Whether a check is under way."""
        return bool(self._asked)

    @property
    def cause(self) -> str:
        """Why it has ended, in words; "" while it has not."""
        return self._cause

    def _wait_for_it(self) -> None:
        self._rest()
        self._watch = self._loop.call_later(self._seconds, self._hangs, None)

    def _rest(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _hangs(self, said: int | None) -> None:
        self._watch = None
        if said is None or said == self._said:
            self.hung = True
            self._cause = (
                f"took longer than {self._seconds:g} s (the setting load_time)"
                if said is None
                else "did not come to the end of a check of parameters"
            )
            self._on_hang(self)

    def _heard(self, frame: bytes) -> None:
        self._said += 1
        try:
            header, text = decode(frame)
            self._said_by_kind[header[0]](header, text)
        except Exception as error:  # noqa: BLE001 - a module may have bent how it speaks
            self._cause = self._cause or f"said what nobody understands ({error!r:.200})"
            self._on_hang(self)

    def _importing(self, header: list[Any], _text: str) -> None:
        self.importing = header[1]
        self.load.modules[self.importing] = []
        self._wait_for_it()

    def _type(self, header: list[Any], _text: str) -> None:
        _kind, module, record = header
        known = KnownType(record, module)
        self.load.types[known.info.type] = known
        self.load.modules[module].append(known.info.type)

    def _bent(self, header: list[Any], _text: str) -> None:
        self.load.bends[header[1]] = header[2]

    def _loaded(self, header: list[Any], _text: str) -> None:
        self._rest()
        self.load.errors |= {clean(name): _steady(text) for name, text in header[1].items()}
        self.load.refused = frozenset(header[2])
        self.settled.set_result("")

    def _checked(self, header: list[Any], text: str) -> None:
        _kind, number, fields = header
        answer = self._asked.get(number)
        if answer is not None and not answer.done():
            wrong = None if fields is None else [(name, sentence) for name, sentence in fields]
            answer.set_result(Checked(wrong, text))


def _steady(error: str) -> str:
    """Return the error of a module in a form that is the same for the same reason."""
    return clean(_ADDRESS.sub("", error), _ERROR_MAX)


def parameters_of(checked: Checked) -> dict[str, Any]:
    """The parameters, as they are stored."""
    parameters: dict[str, Any] = json.loads(checked.parameters)
    return parameters
