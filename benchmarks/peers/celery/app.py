"""Celery as it is used when no task may be lost: confirms, persistent messages, late
acknowledgements.
"""

from celery import Celery

from benchmarks.peers import commands

app = Celery("bench", broker=commands.SERVICE, backend="rpc://")
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
)


@app.task(name="noop", ignore_result=True)
def noop() -> None:
    """Note the time."""
    commands.clock.note()


@app.task(name="answer")
def answer() -> None:
    """Note the time; that it is done is sent back."""
    commands.clock.note()


VERBS = {
    "submits": commands.submits(noop.delay),
    "lone": commands.lone(lambda: answer.delay().get(timeout=60)),
}
