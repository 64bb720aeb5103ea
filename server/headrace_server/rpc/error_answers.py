"""Errors become answers.

- A ControlError becomes its status, with details.
- Anything else becomes INTERNAL with an error id, and the traceback goes to the log: the text of
  an exception never reaches a caller.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import grpc

from headrace_server.codec.errors import CODES, internal, to_status
from headrace_server.domain.errors import ControlError
from headrace_server.domain.outage import Outage
from headrace_server.rpc.handler import Context, Handler, Method

log = logging.getLogger(__name__)

CALLS_SECONDS: Final = 10.0
"""The seconds between two lines that say why calls are answered UNAVAILABLE."""


class ErrorAnswers:
    """Answers with errors, and counts them."""

    def __init__(self) -> None:
        self._refused: Counter[str] = Counter()
        self._outage = Outage(log, "calls are answered UNAVAILABLE", seconds=CALLS_SECONDS)

    def counters(self) -> Mapping[str, int]:
        """How many calls were answered with each reason."""
        return {f"refused_{reason.lower()}_total": count for reason, count in self._refused.items()}

    def answer(self, method: Method, handler: Handler) -> Handler:
        """End a call with the error that its handler raises."""

        async def answering(request: Any, context: Context) -> Any:
            try:
                return await handler(request, context)
            except Exception as error:  # noqa: BLE001 - every error has an answer
                await self._abort(context, method, request, error)

        return answering

    async def _abort(self, context: Context, method: Method, request: Any, error: Exception) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if not isinstance(error, ControlError):
            error = internal(error, method.path, request)
        self._refused[error.reason] += 1
        # gRPC keeps what a call was ended with in a circle of references: its frames would keep
        # what was read for it.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        if CODES[error.reason] is grpc.StatusCode.UNAVAILABLE:
            self._outage.met(error.message)
        status = to_status(error)
        details = ("grpc-status-details-bin", status.SerializeToString())
        await context.abort(CODES[error.reason], status.message, trailing_metadata=(details,))
