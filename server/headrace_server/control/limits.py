"""What one server takes: of a request, of a job, of all callers together. GetServerInfo shows each by its name."""

from dataclasses import dataclass

WAIT_SECONDS = 60
"""The longest wait of one call; the client goes on with the next."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, texts in characters, times in seconds. The defaults are those of config.py."""

    # Of a request.
    message_bytes: int = 4 << 20
    parameters_bytes: int = 1 << 20
    value_depth: int = 16
    description_chars: int = 4096
    name_chars: int = 255
    page_size: int = 1000
    call_seconds: float = 120
    wait_seconds: int = WAIT_SECONDS
    grace_seconds: int = 3600
    # Of a job.
    results_bytes: int = 1 << 20
    output_bytes: int = 1 << 20
    messages_per_attempt: int = 10_000
    # Of all callers together.
    calls: int = 1000
    call_bytes: int = 64 << 20
    watchers: int = 20_000
    streams_per_connection: int = 1000
    waiting_jobs: int = 1_000_000
    # Of the machine.
    min_free_disk_bytes: int = 512 << 20
