"""SubmitJob and BatchSubmitJobs over the generated stub, from one asyncio process."""

import asyncio
import time
import uuid

import grpc

from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

IN_FLIGHT = 50
NOOP = "bench.noop"


def submit_request() -> job_service_pb2.SubmitJobRequest:
    """A submit as the client makes it: with a request_id, so that it may be repeated."""
    return job_service_pb2.SubmitJobRequest(
        request_id=str(uuid.uuid4()), spec=job_pb2.JobSpec(type=NOOP, description="a benchmark's")
    )


def submit(address: str, count: int, in_flight: int = IN_FLIGHT) -> float:
    """Submit so many jobs; submits a second."""
    return asyncio.run(_submit(address, count, in_flight))


async def _submit(address: str, count: int, in_flight: int) -> float:
    async with grpc.aio.insecure_channel(address) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        await jobs.SubmitJob(submit_request())  # the connection is there
        left = iter(range(count - 1))

        async def caller() -> None:
            for _ in left:
                await jobs.SubmitJob(submit_request())

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(in_flight)))
        return (count - 1) / (time.perf_counter() - began)


def submit_batches(address: str, count: int, size: int) -> float:
    """Submit so many jobs in batches, one after the other; jobs a second."""
    return asyncio.run(_submit_batches(address, count, size))


async def _submit_batches(address: str, count: int, size: int) -> float:
    async with grpc.aio.insecure_channel(address) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        await jobs.SubmitJob(submit_request())  # the connection is there
        began = time.perf_counter()
        for first in range(0, count, size):
            specs = [submit_request().spec for _ in range(min(size, count - first))]
            await jobs.BatchSubmitJobs(
                job_service_pb2.BatchSubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=specs)
            )
        return count / (time.perf_counter() - began)
