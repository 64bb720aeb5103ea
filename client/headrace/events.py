"""Status events of jobs from RabbitMQ: a decoder of messages, and a consumer that misses nothing.

    from headrace import Client
    from headrace.events import EventConsumer

    def tell(event):
        print(event.job_id, event.status)

    with Client() as client:
        EventConsumer("billing", tell, types=["report.make"], client=client).run()

A server with an AMQP_URL broadcasts each change of a job's status: the same events that a watch
shows, with the same revisions. A message may come twice, and after a disaster one may be missing.
What the consumer makes of that:

- **Each event once, in the order of its job.** A revision that it has passed is a duplicate:
  dropped. How far each job has come is in `positions`.
- **No gap.** Each message says which revision of its job was broadcast before it. When that one
  never came, the events in between are read from the server (`client`) and shown first, as far as
  their kind, status, tenant and type are among those asked for. Where the last message of a job was
  lost nothing follows that could show it.
- **Nothing is lost.** An event is acknowledged when the handler has returned. One that the handler
  fails on stays unacknowledged and is shown again after 1 s, 2 s, 4 s … 60 s; meanwhile the later
  events of that job wait behind it, and those of other jobs go on. Only `max_attempts` ends that:
  then the event is rejected, and is lost unless the queue has a dead-letter exchange. So is a
  message that is no event of Headrace.
- **A handler may take its time.** The connection is served by a thread of its own. RabbitMQ itself
  closes a channel whose delivery was not acknowledged for 30 minutes (its consumer_timeout), and
  delivers it again.
- **`event.payload`** has the parameters with the creation and the results with the end, where the
  server's setting events_payload_kib has them in. It may be None all the same: larger ones are left
  out, and so are those of an event that was read from the server. The job has them.

What a handler did before it was interrupted by a kill or a lost connection it does again: it sees
an event at least once. A handler that must count each once keeps the revision beside its own data,
in the same transaction.

decode() reads a message of any other AMQP library, and needs no pika; docs/events.md describes the
messages themselves.
"""

from headrace._events.consumer import EventConsumer
from headrace._events.errors import BrokerRefused, InvalidBroadcast
from headrace._events.message import Broadcast, decode
from headrace._events.selection import binding_keys

__all__ = ["Broadcast", "BrokerRefused", "EventConsumer", "InvalidBroadcast", "binding_keys", "decode"]
