"""When an instance takes itself and others for dead: by its own stopwatch, and by nobody's clock
(failure case 18).
"""

import random
from collections.abc import Iterator

import pytest

from headrace_server.domain.lease import Beat, LeaseTimes, Observer, OwnLease

TIMES = LeaseTimes(10.0)


class Watch:
    """An observer that looks once a second; what it says of one that beats as told."""

    def __init__(self, times: LeaseTimes = TIMES) -> None:
        self.observer = Observer(times)
        self.now = 1000.0

    def look(self, beat: int, after: float = TIMES.look, still: float = 0.0) -> bool:
        """Look after so many seconds: whether the other is dead. still: what others have told of
        it.
        """
        self.now += after
        return "other" in self.observer.look({"other": Beat(beat, still)}, self.now)

    def fail(self, after: float) -> None:
        """A look that fails."""
        self.now += after
        self.observer.blind()


def until_dead(watch: Watch, beat: int) -> float:
    """Seconds until an instance that beats no more is dead."""
    begun = watch.now
    while not watch.look(beat):
        assert watch.now < begun + 60
    return watch.now - begun


def test_a_beat_that_stands_still_for_the_lease_is_a_death() -> None:
    """Not a second earlier, and at the next look."""
    watch = Watch()
    assert not watch.look(7)
    assert until_dead(watch, 7) == pytest.approx(TIMES.lease, abs=TIMES.look)


def test_a_beat_that_rises_is_life() -> None:
    """However slowly it rises, if it does within the lease; a number that falls has changed too."""
    watch = Watch()
    for beat in (7, 8, 9, 3, 4):
        for _ in range(9):
            assert not watch.look(beat)
    assert watch.observer.look({"other": Beat(4)}, watch.now + 1) == {}


def test_the_death_names_the_beat_that_was_seen() -> None:
    """By it whoever marks the death makes sure that there was no other beat meanwhile."""
    watch = Watch()
    watch.look(7)
    until_dead(watch, 7)
    assert watch.observer.look({"other": Beat(7)}, watch.now + 1) == {"other": 7}


def test_while_nothing_could_be_read_no_time_passes() -> None:
    """An hour without a database kills nobody: behind it the lease begins where it was."""
    watch = Watch()
    watch.look(7)
    for _ in range(5):
        watch.look(7)
    for _ in range(3600):
        watch.fail(1)
    assert not watch.look(7)
    assert until_dead(watch, 7) == pytest.approx(TIMES.lease - 5, abs=2 * TIMES.look)


def test_who_was_stopped_itself_sees_no_death() -> None:
    """A look an hour after the last counts as two: nobody is buried by one who wakes up."""
    watch = Watch()
    watch.look(7)
    assert not watch.look(7, after=3600)
    assert until_dead(watch, 7) >= TIMES.lease - 3 * TIMES.look


def test_one_that_comes_back_begins_anew() -> None:
    """What was seen of an instance that has left is forgotten."""
    watch = Watch()
    for _ in range(9):
        watch.look(7)
    watch.observer.look({}, watch.now)
    assert not watch.look(7)
    assert until_dead(watch, 7) == pytest.approx(TIMES.lease, abs=TIMES.look)


def test_what_others_have_seen_counts() -> None:
    """One that begins to look goes on from there, and what it has seen itself counts where that is
    more.
    """
    watch = Watch()
    assert not watch.look(7, still=8.0)
    assert not watch.look(7)
    assert watch.look(7)
    watch = Watch()
    for _ in range(9):
        watch.look(7)
    assert not watch.look(7, still=3.0)
    assert watch.look(7)


def test_what_is_news_is_told() -> None:
    """That one has missed several beats, by who has seen more than all know; what is known, and
    what beats, is not told.
    """
    watch = Watch()
    for _ in range(3):
        watch.look(7)
        assert watch.observer.doubts == {}
    watch.look(7)
    assert watch.observer.doubts == {"other": Beat(7, 3.0)}
    watch.look(7, still=6.0)
    assert watch.observer.doubts == {}
    watch.look(8, still=0.0)
    assert watch.observer.doubts == {}


def test_one_s_own_lease_is_counted_from_the_sending() -> None:
    """An answer that took long proves what was true when it was asked for; a late answer does not
    take anything back.
    """
    own = OwnLease(TIMES, 100.0)
    assert own.deadline == 100 + TIMES.lease - TIMES.margin
    own.answered(103.0)
    own.answered(101.0)
    assert own.deadline == 103 + TIMES.lease - TIMES.margin
    assert own.valid(own.deadline - 0.001)
    assert not own.valid(own.deadline)


def test_who_is_told_that_it_is_dead_is() -> None:
    """Whatever its deadline was."""
    own = OwnLease(TIMES, 100.0)
    own.end()
    assert not own.valid(100.0)


def lives(rng: random.Random) -> Iterator[tuple[float, float]]:
    """When beats were sent, and when they were on disk: their answers may never have come."""
    sent = rng.uniform(0, TIMES.look)
    for _ in range(rng.randint(1, 20)):
        stored = sent + rng.uniform(0, 2)
        yield sent, stored
        sent = max(stored, sent + TIMES.look) + rng.uniform(0, TIMES.look)


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
def test_nobody_is_dead_to_others_before_it_is_to_itself(skew: float) -> None:
    """In any course of beats and looks: by stopwatches that are hours apart the holder ends first,
    and the others not much later.
    """
    rng = random.Random(18)
    for _ in range(500):
        beats = list(lives(rng))
        own = OwnLease(TIMES, beats[0][0])
        for sent, _ in beats:
            own.answered(sent)
        observer = Observer(TIMES)
        now = beats[0][1]
        last = beats[-1][1]
        while True:
            now += TIMES.look + rng.uniform(0, 0.2)
            beat = sum(stored <= now for _, stored in beats)
            if observer.look({"it": Beat(beat)}, now + skew):
                break
            assert now < last + 2 * TIMES.lease, "an eternal lease"
        assert not own.valid(now), f"dead at {now}, and valid until {own.deadline}"
        assert now <= last + 1.5 * TIMES.lease


def test_observers_that_follow_each_other_agree() -> None:
    """However short they live and whenever they read what the others have told: nobody is dead
    before it is so to itself, nor for ever alive.
    """
    rng = random.Random(19)
    for _ in range(300):
        beats = list(lives(rng))
        own = OwnLease(TIMES, beats[0][0])
        for sent, _ in beats:
            own.answered(sent)
        now, last = beats[0][1], beats[-1][1]
        told = Beat(0)
        observers = [(Observer(TIMES), rng.uniform(-3600, 3600)) for _ in range(3)]
        while True:
            now += rng.uniform(0.2, 0.5) * TIMES.look
            place = rng.randrange(3)
            if rng.random() < 0.1:  # it dies, and another begins
                observers[place] = (Observer(TIMES), rng.uniform(-3600, 3600))
            observer, skew = observers[place]
            number = sum(stored <= now for _, stored in beats)
            if observer.look({"it": Beat(number, told.still if told.number == number else 0.0)}, now + skew):
                break
            told = observer.doubts.get("it", told)
            assert now < last + 2 * TIMES.lease, "an eternal lease"
        assert not own.valid(now), f"dead at {now}, and valid until {own.deadline}"
