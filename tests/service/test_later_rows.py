"""A server over rows that it has not written itself: each is shown as far as it is understood, and
everybody is served.
"""

import sqlite3
from pathlib import Path

import pytest

from headrace import Client
from headrace.errors import WrongStatus
from headrace.info import Finished
from support.next_version.rows import ABOUT, UNKNOWN, with_more
from support.server import Server

pytestmark = pytest.mark.slow
FAR = 2_009_941_816_586_000_000


def rewrite(path: Path, ended: str, held: str, unknown: str) -> None:
    """A later version, and an earlier one that bounded nothing, have written these rows."""
    with sqlite3.connect(path) as database:
        ((policy,),) = database.execute("SELECT retry FROM job WHERE job_id = ?", (held,))
        progress = f'{{"done":1,"total":{2**63},"message":"","update_time":1,"estimated_end_time":{FAR}}}'
        database.execute("UPDATE job SET progress = ? WHERE job_id = ?", (progress, ended))
        database.execute("UPDATE job SET retry = ? WHERE job_id = ?", (with_more(policy), held))
        database.execute("UPDATE job SET status = ? WHERE job_id = ?", (UNKNOWN, unknown))
        database.execute("UPDATE job_event SET kind = ?, body = '{' WHERE revision = 2", (UNKNOWN,))
        database.execute("UPDATE instance SET about = ?", (ABOUT[1],))
    database.close()


def look(client: Client, ended: str, held: str, unknown: str) -> None:
    """Every verb over them."""
    assert [job.job_id for job in client.list()] == [unknown, held, ended]
    assert [str(client.get(one).status) for one in (ended, held, unknown)] == [
        "SUCCEEDED",
        "PENDING",
        "UNKNOWN",
    ]
    shown = client.get(ended)
    assert (shown.progress, shown.result) == (None, "done")
    assert isinstance(list(client.watch(ended))[-1], Finished)
    assert [str(event.kind) for event in client.events(ended)][1] == "UNKNOWN"
    assert client.wait(ended, 5).status == "SUCCEEDED"
    assert [instance.live for instance in client.instances()].count(True) == 1
    with pytest.raises(WrongStatus, match="this version cannot read all of it"):
        client.stop(unknown)
    assert client.stop(held).outcome == "STOPPED"
    assert client.submit("test.echo", {"a": 1}).result(30) == {"a": 1}


def test_a_server_over_rows_of_another_version(tmp_path: Path) -> None:
    """Lists, watches, histories, stops and runs go on over rows with more keys, unknown words and
    numbers beyond all bounds.
    """
    with Server(tmp_path, workers=1) as server:
        with server.client() as client:
            done = client.submit("test.record", {"log": str(tmp_path / "log"), "tag": "done"})
            done.wait(30)
            ids = (done.job_id, *(client.submit("test.noop", hold=True).job_id for _ in range(2)))
        server.stop()
        (path,) = tmp_path.rglob("*.db")
        rewrite(path, *ids)
        server.start()
        with server.client() as client:
            look(client, *ids)
        assert len(server.logged("cannot be shown")) == 1
