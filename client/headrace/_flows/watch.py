"""A watch that survives its connection.

A stream ends for many reasons that have nothing to do with the job: the server restarts, a proxy
cuts an idle link, a laptop sleeps. The log of the job makes that harmless: every event has a
revision, and a stream can begin after any of them. So a watch is not a stream but a cursor, and a
stream only moves it:

                request()                     received(update)
    cursor ───────────────▶ open stream ─────────────────────────▶ item for the caller
      ▲                          │                                    cursor = its revision
      │      failed(error)       │ lost, or ended without `finished`
      └── wait ◀─────────────────┘
             or raise: a final status, or out of patience

Nothing is yielded twice (an event at or before the cursor is dropped) and nothing is left out (the
next stream begins at the cursor). Where all events were asked for, a hole between two revisions is
an error: it would be the server's. RunJob is the same watch with another beginning: until its
snapshot has come the same RunJobRequest is sent again, which its request_id makes harmless; after
that the job is known and WatchJob goes on.

This module does no input or output: Client and AsyncClient open the streams and wait.
"""

import time

from headrace._flows.blocked import Blocked
from headrace._flows.retry import Clock, Deadline, Reconnect
from headrace._requests import convert, event_message
from headrace.errors import DeadlineExceeded, HeadraceError, InternalError, Unavailable
from headrace.info import Finished, Snapshot, Update
from headrace.v1 import job_pb2, job_service_pb2

Request = job_service_pb2.WatchJobRequest | job_service_pb2.RunJobRequest


class Watch:
    """One job being followed. `first` is what the caller asked for.

    timeout: seconds in all, None for no limit. patience: seconds that it goes on without its
    server.
    """

    def __init__(
        self, first: Request, *, timeout: float | None, patience: float | None, clock: Clock = time.monotonic
    ) -> None:
        self._first = first
        self._timeout = timeout
        self._heard = False
        self._blocked = Blocked(clock)
        self._status = ""
        self._deadline = Deadline(timeout, clock)
        self._reconnect = Reconnect(self._deadline, patience, clock=clock)
        self._revision: int | None = None
        self.job_id = ""
        """The job, as soon as it is known."""
        self.finished = False
        """True when the job has ended and the caller was told."""
        if isinstance(first, job_service_pb2.WatchJobRequest):
            self.job_id = first.job_id
            self._revision = first.after_revision if first.HasField("after_revision") else None

    def request(self) -> Request:
        """Returns the request that opens the next stream, for either RunJob or WatchJob.

        A RunJobRequest is for RunJob, any other for WatchJob.
        """
        if self._revision is None:
            return self._first
        return job_service_pb2.WatchJobRequest(
            tenant=self._first.tenant,
            job_id=self.job_id,
            after_revision=self._revision,
            include_messages=self._first.include_messages,
            min_progress_interval=self._first.min_progress_interval
            if self._first.HasField("min_progress_interval")
            else None,
        )

    def remaining(self) -> float | None:
        """The deadline of the next stream, in seconds from now."""
        return self._deadline.remaining()

    def received(self, update: job_pb2.JobUpdate) -> Update | None:
        """Returns what the caller receives for an update, or None for nothing.

        Raises InternalError for a gap in the events.
        """
        self._reconnect.heard()
        self._heard = True
        match update.WhichOneof("kind"):
            case "snapshot":
                return self._begin(update.snapshot)
            case "event" if self._advance(update.event.revision):
                event = event_message.event(update.event)
                self._status = event.status
                self._blocked.saw(self.job_id, self._status)
                return event
            case "progress":
                return convert.progress(update.progress)
            case "finished":
                self.job_id = update.finished.job_id
                self.finished = True
                return Finished(convert.job(update.finished))
            case "heartbeat":
                self._blocked.saw(self.job_id, self._status)
                return None
            case _:  # what what a newer server says further
                return None

    def failed(self, error: HeadraceError | None, *, known: bool) -> float:
        """Returns the delay before the next request, in seconds.

        error is None when the stream ended OK, but too soon.

        known: whether this client has ever seen its server; where it has not, patience is short.
        Raises the error when it is final, or when patience or time is over.
        """
        if (
            isinstance(error, DeadlineExceeded)
            and not error.reason
            and self._heard
            and self._timeout is not None
        ):
            # Not the server's fault: a stream has no other limit than the caller's own.
            raise DeadlineExceeded.of_job(self.job_id, self._status, self._timeout, code=error.code)
        return self._reconnect.failed(
            error
            or Unavailable(f"The server ended the watch of job {self.job_id} before the job had ended."),
            known=known,
        )

    def _begin(self, job: job_pb2.JobInfo) -> Snapshot | None:
        if self._revision is not None:
            return None  # not asked for: the cursor stands already
        self.job_id = job.job_id
        self._revision = job.revision
        snapshot = Snapshot(convert.job(job))
        self._status = snapshot.job.status
        self._blocked.saw(self.job_id, self._status)
        return snapshot

    def _advance(self, revision: int) -> bool:
        """Moves the cursor; False when the caller has that event already."""
        if self._revision is not None and revision <= self._revision:
            return False
        if self._first.include_messages and self._revision is not None and revision != self._revision + 1:
            raise InternalError(
                f"The events of job {self.job_id} jumped from revision {self._revision} to {revision}."
            )
        self._revision = revision
        return True
