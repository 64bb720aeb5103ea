"""What the store asks of a database."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, func
from sqlalchemy.exc import DatabaseError

from headrace_server.store.errors import StoreRefused, StoreUnreachable


class Engines(NamedTuple):
    """The connections of one store. Where one writer is all there can be, it does what others have connections for.

    beats: for the heartbeat, which waits for nothing else. tail: to follow the log; each statement is a transaction.
    probe: to ask whether the database answers, whatever the others are busy with.
    """

    writes: Engine
    reads: Engine
    claims: Engine
    beats: Engine
    tail: Engine
    probe: Engine

    def dispose(self) -> None:
        """Close every connection."""
        for engine in set(self):
            engine.dispose()


class News(NamedTuple):
    """What a hint says: that there is something new in the log, that a gate was changed."""

    log: bool
    gates: bool


class Hints(ABC):
    """Messages between the stores of one database that carry no data: that there is news, and of what kind."""

    @abstractmethod
    def listen(self, connection: Connection) -> None:
        """Hear on this connection from now on."""

    @abstractmethod
    def send(self, connection: Connection, news: News) -> None:
        """To all others that listen."""

    @abstractmethod
    def wait(self, connection: Connection, seconds: float) -> News:
        """Wait for a hint, for `wake`, or until the time is over; answer what has come."""

    @abstractmethod
    def wake(self) -> None:
        """End a wait, this one or the next. From any thread."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held beside connections."""


class Dialect(ABC):
    """A kind of database."""

    shared: ClassVar[bool]
    """Whether other stores may write to the same database.

    Then a COMMIT may be carried out and its answer be lost, work may be in another's way, and what this store has
    counted may be out of date.
    """
    readers: ClassVar[int]
    """Connections, and threads, for reads."""

    @abstractmethod
    def place(self, url: str) -> str:
        """How sentences for the operator name the database of a URL: without secrets. Raises StoreRefused."""

    @abstractmethod
    def engines(self, url: str, *, durable: bool) -> Engines:
        """The connections of a store. durable: a commit has reached the disk when it returns. Raises StoreRefused."""

    @abstractmethod
    def hints(self) -> Hints | None:
        """A way to tell the other stores; None where there are none."""

    @abstractmethod
    def owner_engine(self, url: str) -> Engine:
        """One connection that may change the tables, however long that takes. Raises StoreRefused."""

    @abstractmethod
    def check(self, connection: Connection, place: str) -> None:
        """Whether the database can hold every text. Raises StoreRefused; place: how the sentence names it."""

    @abstractmethod
    def hold_schema(self, connection: Connection) -> None:
        """Until the end of this transaction let nobody else change the tables."""

    @abstractmethod
    def share_gates(self, connection: Connection) -> None:
        """Until the end of this transaction let no gate be changed; many may do so at once."""

    @abstractmethod
    def hold_gates(self, connection: Connection) -> None:
        """Until the end of this transaction let nobody claim, once those are done who do."""

    @abstractmethod
    def pin_to_file(self, engines: Engines, url: str) -> None:
        """From now on refuse to go on with another database than the one that is there now."""

    @abstractmethod
    def name(self, engines: Engines, numbers: Sequence[int]) -> None:
        """Let the connections that write bear the numbers of their writers, so that others can end them."""

    @abstractmethod
    def terminate(self, connection: Connection, numbers: Sequence[int]) -> None:
        """End the connections of these writers: whatever they wait for, they let go of what they hold."""

    @abstractmethod
    def ask(self, probe: Engine, seconds: float) -> None:
        """Return when the database answers and takes writes, as far as it can say so itself; raise what is in the way.

        Where an answer may fail to come without an error, it is waited for so many seconds.
        """

    @abstractmethod
    def unavailable_reason(self, error: BaseException) -> str:
        """What the database says when it is locked, full, damaged or gone; "" for any other error.

        It is asked through SQLAlchemy or directly: the driver's error is in the one or is the other.
        """

    @abstractmethod
    def is_conflict(self, error: BaseException) -> bool:
        """Whether another's transaction was in the way, so that the same work, done again, will be done."""

    @abstractmethod
    def reads_on(self, error: BaseException) -> bool:
        """Whether it was only that a stored text is none: asked again, the same question is answered with its bytes."""

    @abstractmethod
    def write_back(self, engine: Engine) -> bool:
        """Tidy up after the last of the work; False when somebody was in the way, who is not waited for."""

    @abstractmethod
    def entry_equals(self, document: ColumnElement[Any], name: str, value: Any) -> ColumnElement[bool]:
        """Whether a JSON object has this entry, of the same kind: 1 is neither 1.0 nor true nor "1"."""

    @abstractmethod
    def entry_begins(self, document: ColumnElement[Any], name: str, prefix: str) -> ColumnElement[bool]:
        """Whether a JSON object has a text of this name that begins with the prefix."""


def begins(text: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """Whether a text begins with the prefix, taken literally: LIKE would read % and _ and fold case."""
    return func.substr(text, 1, len(prefix)) == prefix


def refused(database: Dialect, url: str, how: str, error: DatabaseError) -> StoreRefused:
    """Why it is not opened: one that others share is a server, and may answer later."""
    said = str(error.orig).strip().partition("\n")[0].rstrip(".")
    sentence = f"The database {database.place(url)} {how}: {said}."
    away = database.shared and database.unavailable_reason(error)
    return StoreUnreachable(sentence) if away else StoreRefused(sentence)
