"""The wide part of jobs, read beside their rows."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from headrace_server.domain.query import Payload
from headrace_server.store.sql.json_lists import among
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import job_parameters, job_result
from headrace_server.store.tables.statement import Query

_parameters = Query(
    select(job_parameters.c.job_id, job_parameters.c.body).where(among(job_parameters.c.job_id, "ids"))
)
_results = Query(
    select(job_result.c.job_id, job_result.c.name, job_result.c.body).where(among(job_result.c.job_id, "ids"))
)


def read_parameters(connection: Connection, job_ids: Sequence[str]) -> dict[str, str]:
    """The parameters of these jobs by job id."""
    return dict(_parameters(connection, ids=dumps(job_ids)))


def read_results(connection: Connection, job_ids: Sequence[str]) -> dict[str, str]:
    """Return the results of these jobs by job id, as the JSON text of a dict.

    The entry with the empty name is what the job returned.
    """
    results: dict[str, list[str]] = {job_id: [] for job_id in job_ids}
    for job_id, name, body in _results(connection, ids=dumps(job_ids)):
        results[job_id].append(f"{dumps(name)}:{body}")
    return {job_id: f"{{{','.join(texts)}}}" for job_id, texts in results.items()}


def read_payloads(connection: Connection, job_ids: Sequence[str]) -> dict[str, Payload]:
    """Parameters and results of these jobs by job id."""
    results: dict[str, dict[str, str]] = {job_id: {} for job_id in job_ids}
    for job_id, name, body in _results(connection, ids=dumps(job_ids)):
        results[job_id][name] = body
    parameters = read_parameters(connection, job_ids)
    return {
        # A job without its row of parameters is shown without them.
        job_id: Payload(parameters.get(job_id, "{}"), of_job.pop("", None), of_job)
        for job_id, of_job in results.items()
    }
