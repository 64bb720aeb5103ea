"""How fast jobs are taken: SubmitJob with 50 in flight, each on disk before its answer, beside a bare gRPC echo.

    .venv/bin/python -m benchmarks.submit [jobs in each repetition]

Both servers are up at once, and one asyncio process calls them in turn with the same code. No job runs meanwhile.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import grpc

from benchmarks.echo import echoing
from benchmarks.load import IN_FLIGHT, submit, submit_request
from benchmarks.report import show
from benchmarks.serving import serving
from headrace.v1 import job_service_pb2, job_service_pb2_grpc

REPETITIONS = 3


def main(count: int) -> None:
    """Measure."""
    measured: dict[str, list[float]] = {"headrace/s": [], "echo/s": [], "headrace / echo": []}
    with tempfile.TemporaryDirectory() as name, serving(Path(name), workers=0) as headrace:
        response = asyncio.run(_response(headrace))
        with echoing(Path(name), response) as echo:
            for address in (headrace, echo):
                asyncio.run(submit(address, count // 10))  # warm
            for _ in range(REPETITIONS):
                floor = count / asyncio.run(submit(echo, count))
                rate = count / asyncio.run(submit(headrace, count))
                for figure, value in zip(measured.values(), (rate, floor, rate / floor), strict=True):
                    figure.append(value)
    show("submit", measured, jobs=count, in_flight=IN_FLIGHT, response_bytes=response.ByteSize())


async def _response(address: str) -> job_service_pb2.SubmitJobResponse:
    async with grpc.aio.insecure_channel(address) as channel:
        answer: job_service_pb2.SubmitJobResponse = await job_service_pb2_grpc.JobServiceStub(
            channel
        ).SubmitJob(submit_request())
        return answer


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
