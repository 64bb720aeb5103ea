"""Lists the wrappers that stand before each method, outermost first.

They are applied when methods are registered.

    bytes ─ decoder ─ answer ─ refuse_malformed ─ count ─ admit ─ limit ─ take_turn ─ method of the service
            malformed  error_answers  malformed    unread_answers │   time_limit └ unread_answers
                                                              admission

A call costs what its wrappers do, and nothing is made for it but their coroutines. What is to stand
before every method, or before some (who calls, how long it took), is one more name in these lists.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import grpc

from headrace_server.control.validate.limits import Limits
from headrace_server.rpc.admission import Admission
from headrace_server.rpc.error_answers import ErrorAnswers
from headrace_server.rpc.handler import Context, Handler, Method, Wrapper
from headrace_server.rpc.malformed import decoder, refuse_malformed, refuse_malformed_of_many
from headrace_server.rpc.time_limit import TimeLimit
from headrace_server.rpc.unread import Unread
from headrace_server.rpc.unread_answers import UnreadAnswers

JOBS: Final = "/headrace.v1.JobService/"
READS: Final = ("GetJob", "ListJobs", "CountJobs", "ListJobEvents", "ListJobTypes")
"""Methods of JobService that read the store and do nothing else."""


class Wrappers:
    """All wrappers of one server. waiting: how many calls only wait at this moment."""

    def __init__(
        self,
        limits: Limits,
        *,
        waiting: Callable[[], int],
        cut: Callable[[str], bool],
        give_back: Callable[[], None],
    ) -> None:
        self._errors = ErrorAnswers()
        self._unread = Unread(limits, cut=cut, give_back=give_back)
        self._time_limit = TimeLimit(limits.call_seconds)
        self._admission = Admission(limits, waiting)
        self._jobs, self._beside = self._lists()

    def _lists(self) -> tuple[Mapping[str, Sequence[Wrapper]], Mapping[bool, Sequence[Wrapper]]]:
        """Return the wrappers of JobService by method, and those of all other services.

        The latter are by whether the method answers with a stream.
        """
        unread, admission = UnreadAnswers(self._unread), self._admission
        rooms = (admission.admit, self._time_limit.limit)
        stream = (unread.stream, admission.admit_stream)
        jobs = {
            "SubmitJob": (unread.count_and_keep, *rooms),
            "RunJob": stream,
            "WatchJob": stream,
            **dict.fromkeys(READS, (unread.count, *rooms, unread.take_turn)),
            "": (unread.count, *rooms),
        }
        beside = {True: (unread.stream_own, admission.admit_stream_beside), False: (unread.count_own,)}
        return jobs, beside

    def wrap(self, path: str, found: Any) -> Any:
        """A method handler of gRPC's, behind all that stands before it."""
        method = Method(path, found.response_serializer or bytes, streams=found.response_streaming)
        many = found.request_streaming
        call: Handler = _writing(found.stream_stream) if many else found.unary_stream or found.unary_unary
        refuse = refuse_malformed_of_many if many else refuse_malformed
        for wrapper in reversed((self._errors.answer, refuse, *self._list(method))):
            call = wrapper(method, call)
        return _MAKE[many, method.streams](
            call,
            request_deserializer=decoder(found.request_deserializer),
            response_serializer=None,  # what wrappers give is bytes
        )

    def _list(self, method: Method) -> Sequence[Wrapper]:
        if not method.path.startswith(JOBS):
            return self._beside[method.streams]
        return self._jobs.get(method.path.removeprefix(JOBS), self._jobs[""])

    def counters(self) -> Mapping[str, int]:
        """Return the number of calls let in, their unread answers, and the refusals by reason."""
        return {**self._admission.counters(), **self._unread.counters(), **self._errors.counters()}

    def start(self) -> None:
        """Look after calls and connections from now on."""
        self._unread.start()
        self._time_limit.start()

    async def close(self) -> None:
        """Leave off."""
        await self._unread.close()
        await self._time_limit.close()


_MAKE: Final[Mapping[tuple[bool, bool], Callable[..., Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By whether requests, and answers, are streams. No method takes a stream and gives one answer."""


def _writing(answers: Callable[[AsyncIterator[Any], Context], AsyncIterator[Any]]) -> Handler:
    """A generator of answers as a handler that writes."""

    async def write(requests: AsyncIterator[Any], context: Context) -> None:
        async with aclosing(answers(requests, context)) as found:  # type: ignore[type-var] # they are generators
            async for answer in found:
                await context.write(answer)

    return write
