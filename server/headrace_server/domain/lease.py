"""Leases: which instances of one database are alive, decided by the clock of none but who asks.

An instance that lives raises its beat, a number in its row, every second. Nobody writes a time that
another would have to believe: not the instance, whose clock may be off by an hour, and not the
database, whose clock may be stepped.

    instance A      beat 7 ── beat 8 ── beat 9 ✝
    B looks            │  │  │  │  │  │  │  │  │  │ … │  beat 9 has stood still for the lease, by B's own stopwatch,
                                      └── the lease ──┘  while B could read: B marks A dead, if its beat is 9 still

    A by itself        │ sent        │ sent        ✗ no answer
                       └── the lease less margin ──┘        from when the last answered beat *was sent*: A fences itself,
                                                         before B can have marked it dead

**Observation.** B counts only time between two looks that both succeeded, and no more of it than
two looks should be apart: while the database was away, or B itself was stopped, nobody could have
beaten, or B could not have seen it.

What it has counted is written beside the beat, and counted on from there by the others: an instance
that dies a moment before it would have marked another dead has not looked in vain, nor has one that
lives no longer than a lease, however many of that kind follow each other. A length of time is
nobody's clock, and it was seen.

**The deadline.** A beat that is answered proves that A was alive when it was sent, not when the
answer came. So A's own end is counted from the sending, and is earlier than the lease by a margin
for what a look and a mark may take. Until then A may begin runs; afterwards it recalls what its
children have not begun and kills them, whatever the reason: a network that was cut, a process that
was stopped (the stopwatch is CLOCK_BOOTTIME and goes on), a database away. Should A not come to it,
its supervisor does, which A keeps telling until when its children may live: the fence. Silence
alone would not do: the last word may be younger than the last beat.

**What is left to fencing.** Between a deadline and the moment in which a stopped process notices
it, anything may be on its way. Every write of a run names its claim, which the new holder has
raised: it hits nothing. A claim proves in its own transaction that its instance is alive. And what
an instance that is not alive holds is taken over again and again, so that a late claim does not
stay.

The idea of a lease is that of Gray and Cheriton (1989); to go by observation instead of time stamps
is how leader election in Kubernetes does it; the fencing token is Lamport's and Kleppmann's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The intervals that follow from the length of a lease, in seconds."""

    lease: float

    @property
    def look(self) -> float:
        """Between two beats, and two looks at those of the others."""
        return min(1.0, self.lease * 0.1)

    @property
    def margin(self) -> float:
        """How much earlier than the others one holds oneself for dead."""
        return self.lease * 0.15

    @property
    def silence(self) -> float:
        """How long the children of an instance live that says nothing at all."""
        return min(8.0, self.lease * 0.8)


class Beat(NamedTuple):
    """The beat of an instance.

    `still` is the number of seconds for which an observer has seen the beat stand still.
    """

    number: int
    still: float = 0.0


class OwnLease:
    """The lease of this instance itself, valid until a deadline.

    Each answered beat extends the deadline. All times are of one stopwatch.
    """

    def __init__(self, times: LeaseTimes, sent: float) -> None:
        """Sent: when the beat, or the first row, was sent."""
        self._times = times
        self.deadline = 0.0
        self.answered(sent)

    def answered(self, sent: float) -> None:
        """A beat that was sent then has been answered."""
        self.deadline = max(self.deadline, sent + self._times.lease - self._times.margin)

    @property
    def fence(self) -> float:
        """The time at which every process that could still run this instance's code is killed.

        This happens whatever the instance does. It is later than the instance's own deadline, and
        earlier than the time at which the others act.
        """
        return self.deadline + self._times.margin * 2 / 3

    def end(self) -> None:
        """It was said that this instance is dead."""
        self.deadline = float("-inf")

    def valid(self, now: float) -> bool:
        """Whether a run may be begun."""
        return now < self.deadline


class Observer:
    """The other instances as this one observes them."""

    def __init__(self, times: LeaseTimes) -> None:
        self._times = times
        self._looked: float | None = None
        self._seen: dict[str, Beat] = {}
        self._told: Mapping[str, Beat] = {}
        """The beats that all instances know, as read at the last look."""

    def blind(self) -> None:
        """A look has failed: what passes until the next one is not counted."""
        self._looked = None

    def look(self, beats: Mapping[str, Beat], now: float) -> Mapping[str, int]:
        """Record the beats of these live instances and return the ones that are dead.

        Each dead instance comes with the beat that shows it.
        """
        passed = 0.0 if self._looked is None else min(now - self._looked, 2 * self._times.look)
        self._looked = now
        seen = {}
        for instance, beat in beats.items():
            before = self._seen.get(instance)
            mine = before.still + passed if before is not None and before.number == beat.number else 0.0
            seen[instance] = Beat(beat.number, max(mine, beat.still))
        self._seen, self._told = seen, beats
        return {instance: beat.number for instance, beat in seen.items() if beat.still >= self._times.lease}

    @property
    def doubts(self) -> Mapping[str, Beat]:
        """The observations that the other instances should learn.

        They concern instances that have missed several beats, as far as this is news.
        """
        return {
            instance: beat
            for instance, beat in self._seen.items()
            if beat.still >= 3 * self._times.look and beat.still > self._told[instance].still
        }
