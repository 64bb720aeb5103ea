"""The floor: a bare grpc.aio server that answers every SubmitJob with one response that it was
given.

The same messages as Headrace, of the same size, and nothing done in between.
`python -m benchmarks.services.echo RESPONSE` reads the serialized response from a file, and prints
its port.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from headrace.v1 import job_service_pb2, job_service_pb2_grpc


class Echo(job_service_pb2_grpc.JobServiceServicer):
    """Answers the same every time."""

    def __init__(self, response: job_service_pb2.SubmitJobResponse) -> None:
        self._response = response

    async def SubmitJob(self, request: Any, context: Any) -> job_service_pb2.SubmitJobResponse:  # noqa: N802, ARG002 - the contract's names
        """Answer."""
        return self._response


@contextmanager
def echoing(folder: Path, response: bytes) -> Iterator[str]:
    """The echo server for the length of the block, in a process of its own; its host:port."""
    given = folder / "response"
    given.write_bytes(response)
    command = [sys.executable, "-m", "benchmarks.services.echo", given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip() if process.stdout else ''}"
        finally:
            process.terminate()


async def main(response: job_service_pb2.SubmitJobResponse) -> None:
    """Serve until the end."""
    server = grpc.aio.server()
    echo = Echo(response)  # type: ignore[abstract] # one method of all
    job_service_pb2_grpc.add_JobServiceServicer_to_server(echo, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(job_service_pb2.SubmitJobResponse.FromString(Path(sys.argv[1]).read_bytes())))
