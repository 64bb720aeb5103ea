"""Keep the part of the outbox that is in memory: a line of broadcasts for each job.

    page ──> ▪▪▪   the head is under way, or will be published again in a moment; the others wait behind it
             ▪
             ▪▪    head sent: the next is the head          head not wanted: the whole line is parked

What is sent or parked stays known by its place until the outbox has it too: a page that is read
meanwhile shows it as it was, and it must not be taken twice.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from headrace_server.domain.broadcast import Broadcast


class PendingAcks:
    """Places of which the outbox is to be told, and those of which it has been."""

    def __init__(self) -> None:
        self._new: list[int] = []
        self._acknowledged: list[int] = []

    def __iter__(self) -> Iterator[int]:
        yield from self._acknowledged
        yield from self._new

    def add(self, place: int) -> None:
        """One more."""
        self._new.append(place)

    @property
    def new(self) -> Sequence[int]:
        """Those that the outbox does not know of."""
        return tuple(self._new)

    def acknowledged(self, count: int) -> None:
        """The outbox knows of the first so many that were new."""
        self._acknowledged += self._new[:count]
        del self._new[:count]

    def forget(self) -> Sequence[int]:
        """Drop and answer those that the outbox knows of."""
        acknowledged, self._acknowledged = self._acknowledged, []
        return acknowledged


class InFlight:
    """The lines of one instance."""

    def __init__(self) -> None:
        self.sent = PendingAcks()
        self.parked = PendingAcks()
        self._lines: dict[str, deque[Broadcast]] = {}
        self._places: set[int] = set()
        """Of what is in the lines, sent or parked."""

    def __len__(self) -> int:
        """How many broadcasts there is memory taken for."""
        return len(self._places)

    @property
    def settled(self) -> bool:
        """Whether nothing is in a line, and the outbox knows of all that was."""
        return not (self._lines or self.sent.new or self.parked.new)

    def take(self, broadcasts: Iterable[Broadcast]) -> Sequence[Broadcast]:
        """Put each broadcast at the end of its job's line, and return the heads of new lines.

        A broadcast that is known already is left out.
        """
        heads = []
        for broadcast in broadcasts:
            if broadcast.place in self._places:
                continue
            self._places.add(broadcast.place)
            line = self._lines.get(broadcast.event.job_id)
            if line is None:
                self._lines[broadcast.event.job_id] = deque([broadcast])
                heads.append(broadcast)
            else:
                line.append(broadcast)
        return heads

    def take_wanted(self, broadcasts: Sequence[Broadcast]) -> Sequence[Broadcast]:
        """Take broadcasts as `take` does, except where a job waits for a queue.

        Of a job with a broadcast that no queue wants, the later ones are parked too.
        """
        parked = set(self.parked)
        waiting = {
            one.event.job_id
            for one in broadcasts
            if (one.parked or one.place in parked) and one.event.job_id not in self._lines
        }
        for one in broadcasts:
            if one.event.job_id in waiting and not one.parked and one.place not in self._places:
                self._places.add(one.place)
                self.parked.add(one.place)
        return self.take(one for one in broadcasts if one.event.job_id not in waiting)

    def is_head(self, broadcast: Broadcast) -> bool:
        """Whether it, and no other copy that was read since, is the head of a line."""
        line = self._lines.get(broadcast.event.job_id)
        return line is not None and line[0] is broadcast

    def end(self, broadcast: Broadcast) -> Broadcast | None:
        """It need not be sent any more; answer the next head of its line."""
        self.sent.add(broadcast.place)
        self._places.add(broadcast.place)
        line = self._line_behind(broadcast)
        if line is None:
            return None
        line.popleft()
        if line:
            return line[0]
        del self._lines[broadcast.event.job_id]
        return None

    def park(self, broadcast: Broadcast) -> None:
        """It cannot be sent now, nor what is behind it."""
        line = self._line_behind(broadcast)
        if line is None:
            return
        del self._lines[broadcast.event.job_id]
        for one in line:
            if one.parked:
                self._places.discard(one.place)
            else:
                self.parked.add(one.place)

    def _line_behind(self, broadcast: Broadcast) -> deque[Broadcast] | None:
        """Its line, if it or another copy of it is the head."""
        line = self._lines.get(broadcast.event.job_id)
        return line if line is not None and line[0].place == broadcast.place else None

    def forget(self) -> None:
        """Drop the lines: they are in the outbox."""
        self._lines.clear()
        self._places = {*self.sent, *self.parked}

    def forget_acknowledged(self) -> None:
        """Drop the places of which the outbox knows.

        It must not be called while a page is read, which may show them as they were.
        """
        self._places.difference_update(self.sent.forget(), self.parked.forget())
