"""Define what one server accepts: of a request, of a job, of all callers together.

GetServerInfo shows each limit by its name.
"""

from dataclasses import dataclass

from headrace_server.domain.batch import BATCH_JOBS_MAX

WAIT_SECONDS = 60
"""The longest wait of one call; the client goes on with the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits: sizes in bytes, texts in characters, times in seconds.

    A limit that is a setting has its default in config.py.
    """

    # Of a request.
    message_bytes: int
    parameters_bytes: int
    value_depth: int = 16
    description_chars: int = 4096
    name_chars: int = 255
    page_size: int
    batch_jobs: int = BATCH_JOBS_MAX
    call_seconds: float
    wait_seconds: int
    grace_seconds: int = 3600
    # Of a job.
    results_bytes: int
    output_bytes: int
    messages_per_attempt: int
    # Of all callers together.
    calls: int
    call_bytes: int
    unread_bytes: int
    unread_bytes_per_connection: int
    unread_seconds: float
    watchers: int
    streams_per_connection: int
    waiting_jobs: int
    # Of the machine.
    min_free_disk_bytes: int
