"""What goes on in the background does not end of a defect."""

import asyncio

import pytest

from headrace_server.control import background
from headrace_server.control.background import Background


class Worker(Background):
    """Fails twice, then works until it is closed."""

    def __init__(self) -> None:
        self.begun = 0
        self.works = asyncio.Event()
        self.ended = False

    async def _run(self) -> None:
        self.begun += 1
        if self.begun < 3:
            raise OSError("no more descriptors")
        self.works.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


async def test_a_defect_is_logged_and_it_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log each time that it fails, goes on until it is closed, and has ended
    then.
    """
    monkeypatch.setattr(background, "PAUSE", 0)
    worker = Worker()
    await worker.close()  # never begun
    worker.start()
    await asyncio.wait_for(worker.works.wait(), 30)
    assert caplog.text.count("Worker failed, and begins again") == 2
    await worker.close()
    assert worker.ended
