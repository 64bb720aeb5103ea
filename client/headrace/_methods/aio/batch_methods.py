"""The methods of a client that submit many jobs."""

from collections.abc import Callable, Iterable, Sequence

from headrace._methods.aio.bulk_methods import AsyncBulkMethods
from headrace._methods.aio.handle import AsyncBatch, AsyncJobHandle
from headrace._requests import batches
from headrace._requests.spec import seconds
from headrace.errors import InvalidArgument
from headrace.options import NewJob, Span
from headrace.v1 import job_pb2


class AsyncBatchMethods(AsyncBulkMethods):
    """The methods of AsyncClient that submit many jobs."""

    async def batch_submit(
        self,
        jobs: Iterable[NewJob],
        *,
        tenant: str | None = None,
        request_id: str | None = None,
        hold: bool = False,
        timeout: Span | None = None,
    ) -> AsyncBatch:
        """Submits jobs together: all of them, or none. When this returns, they are on disk.

        They are at most 10,000, of 4 MiB together; submit_many takes any number. What is refused is
        named by its place, such as jobs[17].parameters[width], and nothing is stored. The same
        request_id with the same jobs gives the same batch; a new one is made when it is left out.
        hold keeps them PENDING until they are released. timeout is that of this call. Raises what
        submit raises, and PayloadTooLarge.
        """
        return await self._batch(list(batches.job_specs(jobs)), tenant, request_id, hold, timeout)

    async def submit_many(
        self,
        jobs: Iterable[NewJob],
        *,
        tenant: str | None = None,
        request_id: str | None = None,
        hold: bool = False,
        timeout: Span | None = None,
        batch_size: int = batches.BATCH_JOBS_MAX,
        on_batch: Callable[[Sequence[str]], object] | None = None,
    ) -> list[AsyncJobHandle]:
        """Submits any number of jobs, in batches, and returns their handles in the same order.

        A batch has as many jobs as one call may, and at most batch_size; each is all or nothing, as
        of batch_submit, and timeout is that of each call. The jobs are taken from the iterable as
        they are needed. on_batch is called with the job ids of each batch once it is on disk: where
        a later one is refused, those before it stay, and the error counts from the first job of
        all. With request_id, a repetition with the same jobs and batch_size goes on where the first
        call ended.
        """
        handles: list[AsyncJobHandle] = []
        most = max(1, min(batch_size, batches.BATCH_JOBS_MAX))
        max_bytes = self._calls.connection.max_message_bytes
        for number, specs in enumerate(batches.cut(batches.job_specs(jobs), most=most, max_bytes=max_bytes)):
            one_id = None if request_id is None else f"{request_id}-{number}"
            try:
                batch = await self._batch(specs, tenant, one_id, hold, timeout)
            except InvalidArgument as error:
                raise batches.moved(error, len(handles)) from None
            handles += batch.jobs
            if on_batch is not None:
                on_batch([job.job_id for job in batch.jobs])
        return handles

    async def _batch(
        self,
        specs: Sequence[job_pb2.JobSpec],
        tenant: str | None,
        request_id: str | None,
        hold: bool,
        timeout: Span | None,
    ) -> AsyncBatch:
        tenant = self._tenant(tenant)
        call = batches.batch_submit(tenant, specs, request_id=request_id, hold=hold)
        made = await self._calls.make(call, None if timeout is None else seconds("timeout", timeout))
        jobs = [
            AsyncJobHandle(self, job_id, tenant=tenant, existing=made.existing) for job_id in made.job_ids
        ]
        return AsyncBatch(made.batch_id, jobs, made.existing)
