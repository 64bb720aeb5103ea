"""Holds the objects that jobs share within one worker process.

They are made on first use and closed when the process ends.
"""

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from headrace._work.attempt import ResourceFailed
from headrace._work.definition import ResourceDefinition
from headrace._work.threads import threads


class Resources:
    """The resources of one process, read as attributes: `ctx.resources.database`.

    made: objects that are there already, such as stand-ins in a test. making: a context manager in
    which each is made.
    """

    def __init__(
        self,
        definitions: Mapping[str, ResourceDefinition] | None = None,
        made: Mapping[str, Any] | None = None,
        *,
        making: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._making = making
        self._definitions = dict(definitions or {})
        self._made: dict[str, Any] = dict(made or {})
        self._open: list[tuple[str, Iterator[Any]]] = []
        self._starting = frozenset(name for name, made in self._definitions.items() if made.threads)
        self.starts_threads = False
        """Whether a resource that starts threads as it is used was asked for.

        The code that runs jobs sets it back.
        """
        self.threads: set[int] = set()
        """Those that were started while resources were made."""
        self._lock = threading.RLock()  # a resource may ask for another

    def __getattr__(self, name: str) -> Any:
        """Return the object of this name.

        Raises ResourceFailed when it cannot be made; the next use tries again. Raises
        AttributeError for an unknown name.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        with self._lock:
            if name not in self._made:
                if name not in self._definitions:
                    known = ", ".join(sorted({*self._definitions, *self._made})) or "none"
                    raise AttributeError(f"there is no resource {name!r}; those there are: {known}")
                before = threads()
                with self._making():
                    self._made[name] = self._make(self._definitions[name])
                self.threads |= threads() - before
            self.starts_threads = self.starts_threads or name in self._starting
            return self._made[name]

    def _make(self, definition: ResourceDefinition) -> Any:
        try:
            made = definition.make()
            if isinstance(made, Iterator):
                generator, made = made, next(made)
                self._open.append((definition.name, generator))
        except Exception as error:
            # Told apart from an error of the job itself by its type.
            raise ResourceFailed(f"resource {definition.name!r} could not be made: {error!r}") from error
        return made

    def close(self) -> None:
        """Resume the functions that yielded, the last one first.

        What they raise is printed to stderr.
        """
        while self._open:
            _name, generator = self._open.pop()
            try:
                next(generator, None)
            except Exception:  # noqa: BLE001 - the others are closed all the same
                traceback.print_exc()
        self._made.clear()
