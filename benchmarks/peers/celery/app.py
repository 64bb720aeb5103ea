"""Celery as it is used when no task may be lost: confirms, persistent messages, late acknowledgements."""

from celery import Celery

from benchmarks.peers import verbs

app = Celery("bench", broker=verbs.SERVICE, backend="rpc://")
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
)


@app.task(name="noop", ignore_result=True)
def noop() -> None:
    """Note the time."""
    verbs.clock.note()


@app.task(name="answer")
def answer() -> None:
    """Note the time; that it is done is sent back."""
    verbs.clock.note()


VERBS = {
    "submits": verbs.submits(noop.delay),
    "lone": verbs.lone(lambda: answer.delay().get(timeout=60)),
}
