"""When a claim is asked for again: only those that met a full gate cost one when something ends
elsewhere.
"""

from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Status
from headrace_server.store.claim.claim_retry import ClaimRetry
from headrace_server.store.claim.claims import Taken


def moved(before: Status, after: Status) -> Event:
    """A job elsewhere has changed its status."""
    return Event(
        "job", "default", "demo", 5, 0, 1, after, EventKind.STATUS_CHANGED, {"from": before, "to": after}
    )


def taken(*, full: bool) -> Taken:
    """What a claim that took nothing answers."""
    return Taken([], busy=False, full=full)


ENDED = moved(Status.RUNNING, Status.SUCCEEDED)


def test_an_end_elsewhere_costs_a_claim_where_a_gate_was_full() -> None:
    """A claim that met no full gate, or filled all its slots, is not asked for again when a job
    elsewhere ends; one that left slots free before a full gate is.
    """
    told: list[str] = []
    again = ClaimRetry(lambda: told.append("claim"))
    again.answered(taken(full=False), 2, again.made)
    again.overheard([ENDED])
    again.answered(taken(full=True), 0, again.made)
    again.overheard([ENDED])
    assert not told
    again.answered(taken(full=True), 2, again.made)
    again.overheard([ENDED, ENDED])
    assert told == ["claim"]
    again.answered(taken(full=False), 2, again.made)
    again.overheard([ENDED])
    assert told == ["claim"]


def test_only_what_lets_go_makes_room() -> None:
    """A job that goes back to its queue makes room; what is claimed, begun or stopped in its queue,
    and what is logged, does not.
    """
    told: list[str] = []
    again = ClaimRetry(lambda: told.append("claim"))
    again.answered(taken(full=True), 1, again.made)
    again.overheard(
        [
            moved(Status.QUEUED, Status.TO_BE_RUN),
            moved(Status.TO_BE_RUN, Status.RUNNING),
            moved(Status.QUEUED, Status.ABORTED),
            Event("job", "default", "demo", 6, 0, 1, Status.RUNNING, EventKind.MESSAGE_LOGGED, {}),
        ]
    )
    assert not told
    again.overheard([moved(Status.TO_BE_RUN, Status.QUEUED)])
    assert told == ["claim"]


def test_room_made_during_a_claim_is_not_missed() -> None:
    """What ends elsewhere while a claim is under way, which may not have seen it, has it asked for
    once more.
    """
    told: list[str] = []
    again = ClaimRetry(lambda: told.append("claim"))
    made = again.made
    again.overheard([ENDED])
    again.answered(taken(full=True), 1, made)
    assert told == ["claim"]
