"""The port for what the store asks of a database."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, func
from sqlalchemy.exc import DatabaseError

from headrace_server.store.errors import StoreRefused, StoreUnreachable


class Engines(NamedTuple):
    """The connections of one store.

    Where there can be only one writer, it also does what others have separate connections for.

    beats: for the heartbeat, which waits for nothing else. tail: to follow the log; each statement
    is a transaction. probe: to ask whether the database answers, whatever the others are busy with.
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
    """The content of a hint: whether the log has something new, and whether a gate was changed."""

    log: bool
    gates: bool


class Hints(ABC):
    """Messages between the stores of one database that carry no data.

    They say only that there is news, and of what kind.
    """

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

    Then a COMMIT may be carried out and its answer be lost, work may be in another's way, and what
    this store has counted may be out of date.
    """
    readers: ClassVar[int]
    """Connections, and threads, for reads."""

    @abstractmethod
    def place(self, url: str) -> str:
        """Return the name of a URL's database for sentences to the operator, without secrets.

        Raises StoreRefused.
        """

    @abstractmethod
    def engines(self, url: str, *, durable: bool) -> Engines:
        """Return the connections of a store.

        `durable` means that a commit has reached the disk when it returns. Raises StoreRefused.
        """

    @abstractmethod
    def hints(self) -> Hints | None:
        """A way to tell the other stores; None where there are none."""

    @abstractmethod
    def owner_engine(self, url: str) -> Engine:
        """Return one connection that may change the tables, however long that takes.

        Raises StoreRefused.
        """

    @abstractmethod
    def check(self, connection: Connection, place: str) -> None:
        """Check that the database can hold every text.

        Raises StoreRefused if not. `place` is the name of the database in its sentence.
        """

    @abstractmethod
    def hold_schema(self, connection: Connection) -> None:
        """Until the end of this transaction let nobody else change the tables."""

    @abstractmethod
    def share_gates(self, connection: Connection, *, wait: bool) -> bool:
        """Until the end of this transaction let no gate be changed; many may do so at once.

        Return False where one is being changed and that is not to be waited for.
        """

    @abstractmethod
    def hold_gates(self, connection: Connection) -> None:
        """Until the end of this transaction let nobody claim, once those are done who do."""

    @abstractmethod
    def pin_to_file(self, engines: Engines, url: str) -> None:
        """From now on refuse to go on with another database than the one that is there now."""

    @abstractmethod
    def name(self, engines: Engines, numbers: Sequence[int]) -> None:
        """Label the connections that write with the numbers of their writers.

        Other instances can then end them.
        """

    @abstractmethod
    def terminate(self, connection: Connection, numbers: Sequence[int]) -> None:
        """End the connections of these writers.

        Whatever they wait for, they let go of what they hold.
        """

    @abstractmethod
    def ask(self, probe: Engine, seconds: float) -> None:
        """Return when the database answers and takes writes; raise what is in the way.

        This is known only as far as the database can say so itself.

        Where an answer may fail to come without an error, it is waited for so many seconds.
        """

    @abstractmethod
    def unavailable_reason(self, error: BaseException) -> str:
        """Return why the database is locked, full, damaged or gone, in its own words.

        The text is empty for any other error.

        It is asked through SQLAlchemy or directly: the driver's error is in the one or is the
        other.
        """

    @abstractmethod
    def is_conflict(self, error: BaseException) -> bool:
        """Return whether another transaction was in the way.

        The same work, done again, will then be done.
        """

    @abstractmethod
    def reads_on(self, error: BaseException) -> bool:
        """Return whether the only trouble was a stored text that is not valid text.

        Asked again, the same question is answered with the bytes of that text.
        """

    @abstractmethod
    def state(self, connection: Connection) -> object:
        """Return a value that is another one once another connection has written.

        It is None where the database does not say so. What this connection writes itself does not
        change it.
        """

    @abstractmethod
    def write_back(self, engine: Engine) -> bool:
        """Tidy up after the last of the work; return False when another user was in the way.

        It does not wait for that user.
        """

    @abstractmethod
    def entry_equals(self, document: ColumnElement[Any], name: str, value: Any) -> ColumnElement[bool]:
        """Return the condition that a JSON object has this entry, of the same kind.

        The number 1 is neither 1.0 nor true nor the string "1" here.
        """

    @abstractmethod
    def entry_begins(self, document: ColumnElement[Any], name: str, prefix: str) -> ColumnElement[bool]:
        """Whether a JSON object has a text of this name that begins with the prefix."""


def begins(text: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """Return the condition that a text begins with the prefix, taken literally.

    LIKE would interpret % and _ and fold case.
    """
    return func.substr(text, 1, len(prefix)) == prefix


def refused(database: Dialect, url: str, how: str, error: DatabaseError) -> StoreRefused:
    """Why it is not opened: one that others share is a server, and may answer later."""
    said = str(error.orig).strip().partition("\n")[0].rstrip(".")
    sentence = f"The database {database.place(url)} {how}: {said}."
    away = database.shared and database.unavailable_reason(error)
    return StoreUnreachable(sentence) if away else StoreRefused(sentence)
