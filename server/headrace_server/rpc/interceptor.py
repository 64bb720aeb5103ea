"""The edge: one interceptor that every call passes.

- What is over the limits of the server is refused before anything is done for it (admission).
- A call that takes longer than any may is given up.
- Bytes that do not decode are INVALID_ARGUMENT and name the message type, and the field of a text that is not UTF-8;
  without this they would be UNKNOWN before any of our code runs.
- A ControlError becomes its status with details.
- Anything else becomes INTERNAL with an error id, and the traceback goes to the log: the text of an exception
  never reaches a caller.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError

from headrace_server.codec.errors import CODES, internal, to_status
from headrace_server.codec.malformed import bad_text
from headrace_server.domain.errors import CallTooLong, ControlError, FieldViolation, InvalidArgument
from headrace_server.rpc.admission import Admission
from headrace_server.rpc.outage import Outage
from headrace_server.rpc.unread import CALL, Connection, Unread

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Call = Callable[..., Awaitable[Any]]
Serializer = Callable[[Any], bytes]

ADMITTED = "/headrace.v1.JobService/"
"""Methods that are let in only while there is room; all others always."""
READS = frozenset(
    f"{ADMITTED}{name}" for name in ("GetJob", "ListJobs", "CountJobs", "ListJobEvents", "ListJobTypes")
)
"""Methods that read the store and do nothing else."""
KEPT = frozenset((f"{ADMITTED}SubmitJob",))
"""Methods whose answer is given though it finds no room: without a request_id, to ask again would be to submit again."""


class _Malformed:
    """Stands for a request whose bytes do not decode."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Counted:
    """What a stream's method has of its context: each message counts as unread until it has gone out."""

    def __init__(self, context: Context, connection: Connection, serialize: Serializer) -> None:
        self.invocation_metadata = context.invocation_metadata
        self._write = context.write
        self._connection = connection
        self._serialize = serialize

    async def write(self, message: Any) -> None:
        """Send a message. Raises TooManyCalls when too much is unread: the watch goes on where it was, later."""
        data = self._serialize(message)
        self._connection.check(len(data))
        self._connection.hold(len(data))
        try:
            await self._write(data)
        except grpc.aio.InternalError:  # nobody is there any more
            raise asyncio.CancelledError from None
        finally:
            self._connection.let_go(len(data))


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """The interceptor. call_seconds: how long a call may take that is no stream."""

    def __init__(self, admission: Admission, unread: Unread, call_seconds: float) -> None:
        self._admission = admission
        self._unread = unread
        self._call_seconds = call_seconds
        self._refused: Counter[str] = Counter()
        self._outage = Outage()

    def counters(self) -> Mapping[str, int]:
        """How many calls were answered with each reason, and how many are let in."""
        refused = {f"refused_{reason.lower()}_total": count for reason, count in self._refused.items()}
        return {**self._admission.counters(), **self._unread.counters(), **refused}

    def start(self) -> None:
        """Look after connections from now on."""
        self._unread.start()

    async def close(self) -> None:
        """Leave off."""
        await self._unread.close()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        for call, make, admit, beside in (
            (handler.unary_unary, grpc.unary_unary_rpc_method_handler, self._unary, self._unary_beside),
            (handler.unary_stream, grpc.unary_stream_rpc_method_handler, self._stream, self._stream_beside),
        ):
            if call is not None:
                chosen = admit if method.startswith(ADMITTED) else beside
                return make(
                    self._guarded(call, method, partial(chosen, method, handler.response_serializer)),
                    request_deserializer=_decoder(handler.request_deserializer),
                    # It is given to gRPC as bytes: they have been counted.
                    response_serializer=None,
                )
        if handler.stream_stream is not None:  # reflection
            return grpc.stream_stream_rpc_method_handler(
                self._guarded_both(handler.stream_stream, method),
                request_deserializer=_decoder(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        return handler

    def _guarded(self, call: Call, method: str, admit: Call) -> Call:
        # Streams are coroutines that write to the context: cancelling one runs its clean-up at once, where an
        # asynchronous generator would wait for the garbage collector.
        async def guarded(request: Any, context: Context) -> Any:
            try:
                if isinstance(request, _Malformed):
                    raise _malformed(method, request.data)  # noqa: TRY301 - answered like every other error
                return await admit(call, request, context)
            except Exception as error:  # noqa: BLE001 - the edge answers for everything
                await self._answer(context, method, request, error)

        return guarded

    def _guarded_both(
        self, call: Callable[[AsyncIterator[Any], Context], AsyncIterator[Any]], method: str
    ) -> Call:
        async def decoded(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for request in requests:
                if isinstance(request, _Malformed):
                    raise _malformed(method, request.data)
                yield request

        async def guarded(requests: AsyncIterator[Any], context: Context) -> None:
            try:
                connection = self._unread.of(context.peer())
                connection.check_own()
                with self._admission.stream(f"{connection.peer} beside"):
                    async for answer in call(decoded(requests), context):
                        await context.write(answer)
            except Exception as error:  # noqa: BLE001 - the edge answers for everything
                await self._answer(context, method, None, error)

        return guarded

    async def _unary(
        self, method: str, serialize: Serializer, call: Call, request: Any, context: Context
    ) -> bytes:
        connection = self._unread.of(context.peer())
        connection.check()
        with self._admission.call(request.ByteSize()):
            try:
                async with asyncio.timeout(self._call_seconds) as limit:
                    if method not in READS:
                        answer = await call(request, context)
                    else:
                        async with connection.turn:
                            connection.check()
                            answer = await call(request, context)
            except TimeoutError:
                if limit.expired():
                    raise CallTooLong(self._call_seconds) from None
                raise
        data = serialize(answer)
        if method not in KEPT:
            connection.check(len(data) + CALL)
        _hold(connection, context, len(data))
        return data

    async def _unary_beside(
        self, _method: str, serialize: Serializer, call: Call, request: Any, context: Context
    ) -> bytes:
        """Health and AdminService: refused only to a connection that does not read."""
        connection = self._unread.of(context.peer())
        connection.check_own()
        data = serialize(await call(request, context))
        _hold(connection, context, len(data))
        return data

    async def _stream(
        self, _method: str, serialize: Serializer, call: Call, request: Any, context: Context
    ) -> None:
        connection = self._unread.of(context.peer())
        connection.check()
        with self._admission.stream(connection.peer):
            await call(request, _Counted(context, connection, serialize))

    async def _stream_beside(
        self, _method: str, serialize: Serializer, call: Call, request: Any, context: Context
    ) -> None:
        """Health: as many of one connection as it may have watches."""
        connection = self._unread.of(context.peer())
        connection.check_own()
        with self._admission.stream(f"{connection.peer} beside"):
            await call(request, _Counted(context, connection, serialize))

    async def _answer(self, context: Context, method: str, request: Any, error: Exception) -> NoReturn:
        """End a call with an error and its details."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if not isinstance(error, ControlError):
            error = internal(error, method, request)
        self._refused[error.reason] += 1
        # gRPC keeps what a call was ended with in a circle of references: its frames would keep what was read for it.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        if CODES[error.reason] is grpc.StatusCode.UNAVAILABLE:
            self._outage.tell(error.message)
        status = to_status(error)
        details = ("grpc-status-details-bin", status.SerializeToString())
        await context.abort(CODES[error.reason], status.message, trailing_metadata=(details,))


def _hold(connection: Connection, context: Context, size: int) -> None:
    """From now until it has gone out, an answer of so many bytes counts as unread, and its call."""
    connection.hold(size + CALL)
    context.add_done_callback(lambda _context: connection.let_go(size + CALL))  # type: ignore[arg-type] # any name


def _decoder(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def guarded(data: bytes) -> Any:
        try:
            return decode(data)
        except (DecodeError, UnicodeDecodeError):
            return _Malformed(data)

    return guarded


def _malformed(method: str, data: bytes) -> InvalidArgument:
    kind = descriptor_pool.Default().FindMethodByName(method.lstrip("/").replace("/", ".")).input_type
    field = bad_text(kind, data)
    text = f"The bytes of the request do not decode as {kind.full_name}"
    return InvalidArgument(
        FieldViolation(field, f"{text}: this is not UTF-8." if field else f"{text}."),
        message_type=kind.full_name,
    )
