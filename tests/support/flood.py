"""A caller without manners: many submits in flight, whatever is answered, and no pause.

    python -m support.flood TARGET IN_FLIGHT SECONDS

Prints one JSON object: how many calls were answered with which code, how many refusals came without
RetryInfo, and the longest time between two calls that were served.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import grpc

from headrace._transport.status import from_rpc_error
from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

SIZE = 1_000
CONNECTIONS = 4


class Flood:
    """What was answered."""

    def __init__(self, seconds: float) -> None:
        self.codes: Counter[str] = Counter()
        self.without_retry_info = 0
        self.served: list[float] = []
        self._end = time.monotonic() + seconds

    async def call(self, stub: Any) -> None:
        """Submit again and again."""
        spec = job_pb2.JobSpec(type="test.echo")
        spec.parameters["x"].string_value = "x" * SIZE
        request = job_service_pb2.SubmitJobRequest(tenant="flood", spec=spec, hold=True)
        while time.monotonic() < self._end:
            try:
                await stub.SubmitJob(request, timeout=30)
            except grpc.aio.AioRpcError as error:
                self.codes[error.code().name] += 1
                self.without_retry_info += from_rpc_error(error, "").retry_after is None
            else:
                self.codes["OK"] += 1
                self.served.append(time.monotonic())

    def longest_gap(self) -> float:
        """Seconds between two calls that were served."""
        return max(
            (after - before for before, after in zip(self.served, self.served[1:], strict=False)), default=0
        )


async def main(target: str, in_flight: int, seconds: float) -> None:
    """Flood, then say what came back."""
    flood = Flood(seconds)
    channels = [
        grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(CONNECTIONS)
    ]
    stubs = [job_service_pb2_grpc.JobServiceStub(channel) for channel in channels]
    await asyncio.gather(*(flood.call(stubs[number % CONNECTIONS]) for number in range(in_flight)))
    for channel in channels:
        await channel.close()
    print(
        json.dumps(
            {
                "codes": flood.codes,
                "without_retry_info": flood.without_retry_info,
                "longest_gap": flood.longest_gap(),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
