"""P1: how fast jobs are taken, one at a time and with 50 in flight, beside a bare gRPC echo and the
peers.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import grpc

from benchmarks.bench import Bench
from benchmarks.load.submits import IN_FLIGHT, submit, submit_request
from benchmarks.measures.measure import RATE, Measure
from benchmarks.runner import Figures, Variant
from benchmarks.services.echo import echoing
from benchmarks.systems.headrace import Headrace
from benchmarks.systems.registry import HEADRACE, systems
from benchmarks.systems.system import System
from headrace.v1 import job_service_pb2_grpc

ONE, MANY = "one at a time", f"{IN_FLIGHT} in flight"


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    count = bench.count(2000)
    with bench.folder() as folder, echoing(folder, _response(bench)) as echo:
        submit(echo, count // 10 + 2)  # warm
        yield [
            Variant("gRPC echo", partial(_echo, echo, count)),
            *(Variant(system.name, partial(_submit, system, count)) for system in systems(bench)),
        ]


def _echo(address: str, count: int) -> Figures:
    return {ONE: submit(address, count, 1), MANY: submit(address, count)}


def _submit(system: System, count: int) -> Figures:
    return {ONE: system.submits(count // 2, 1), MANY: system.submits(count, IN_FLIGHT)}


def _response(bench: Bench) -> bytes:
    """A real answer: the echo's is as large."""

    async def ask(address: str) -> bytes:
        async with grpc.aio.insecure_channel(address) as channel:
            answer = await job_service_pb2_grpc.JobServiceStub(channel).SubmitJob(submit_request())
            return bytes(answer.SerializeToString())

    with Headrace(bench, "SQLite").place() as place, place.server(workers=0) as server:
        return asyncio.run(ask(server.target))


SUBMIT = Measure(
    "P1",
    "Submits, each answered by itself",
    {ONE: RATE, MANY: RATE},
    _variants,
    over=HEADRACE,
    notes=(
        "The echo is a bare grpc.aio server that answers the same messages and does nothing.",
        "Peers whose call blocks are called from as many threads, those of asyncio by as many tasks, in one process.",
    ),
    reach="0.5 of the echo with 50 in flight on SQLite, 0.4 on PostgreSQL",
)
