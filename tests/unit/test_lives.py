"""The lives of an instance: no defect in one step is its end."""

import asyncio

import pytest

from headrace_server.control.cluster import membership
from headrace_server.control.cluster.membership import Membership
from headrace_server.domain.job import JobError
from headrace_server.domain.ports.cluster import Instance, LifeListener


class Troubled:
    """A store and runs of which each step fails the first time, as nobody expected."""

    instance = "here"

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.lives_again = asyncio.Event()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.steps.count(name) == 1:
            raise OverflowError(name)

    async def recover(self, error: JobError, *, confirmed: bool) -> int:
        """Take over."""
        self._step("recover")
        assert (bool(error.message), confirmed) == (True, True)
        return 0

    async def join(self, me: Instance, *, lease: float | None, life: LifeListener) -> None:
        """Begin a life."""
        assert (me.instance[:5], lease, life.about()) == ("name-", None, {})
        self._step("join")

    async def evict(self) -> None:
        """End what runs."""
        self._step("evict")

    def resume(self) -> None:
        """Let runs begin."""
        self.lives_again.set()


async def test_what_cannot_be_taken_over_does_not_keep_a_server_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A defect in the recovery is logged, and the start goes on."""
    troubled = Troubled()
    mine = Membership(troubled, troubled, name="name", lease=None, about=dict)  # type: ignore[arg-type] # a part of a store
    await mine.take_over()
    assert troubled.steps == ["recover"]
    assert "was not taken over" in caplog.text
    await mine.take_over()


async def test_an_instance_whose_lease_is_lost_lives_again_whatever_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each step to the next life is repeated until it is done."""
    monkeypatch.setattr(membership, "PAUSE", 0.001)
    troubled = Troubled()
    mine = Membership(troubled, troubled, name="name", lease=None, about=dict)  # type: ignore[arg-type] # likewise
    mine.lost()
    async with asyncio.timeout(10):
        await troubled.lives_again.wait()
    assert troubled.steps == ["evict", "evict", "join", "join"]
    await mine.close()
