"""Translates settings for the parts that do not read them."""

from headrace_server.config import Settings
from headrace_server.control.validate.limits import WAIT_SECONDS, Limits
from headrace_server.domain.retention import Retention


def retention_of(settings: Settings) -> Retention:
    """How long these settings have ended jobs kept."""
    succeeded, failed, aborted = (
        int(seconds * 1_000_000) or None
        for seconds in (settings.retention_succeeded, settings.retention_failed, settings.retention_aborted)
    )
    return Retention(succeeded, failed, aborted)


def limits_of(settings: Settings) -> Limits:
    """The limits that these settings give."""
    return Limits(
        message_bytes=settings.max_message_kib << 10,
        parameters_bytes=settings.max_parameters_kib << 10,
        page_size=settings.max_page_size,
        call_seconds=settings.max_call_time,
        wait_seconds=min(WAIT_SECONDS, int(settings.max_call_time) - 1),
        results_bytes=settings.max_results_kib << 10,
        output_bytes=settings.max_output_kib << 10,
        messages_per_attempt=settings.max_messages_per_attempt,
        calls=settings.max_calls,
        call_bytes=settings.max_calls_mib << 20,
        unread_bytes=settings.max_unread_mib << 20,
        unread_bytes_per_connection=settings.max_unread_mib_per_connection << 20,
        unread_seconds=settings.max_unread_time,
        watchers=settings.max_watchers,
        streams_per_connection=settings.max_streams_per_connection,
        waiting_jobs=settings.max_waiting_jobs,
        min_free_disk_bytes=settings.min_free_disk_mib << 20,
    )
