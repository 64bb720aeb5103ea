"""Commands by message, each carried out by the use case of the RPC of the same name.

Validation and errors are those of the use case.
"""

from typing import Final

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError, Message

from headrace.v1 import job_service_pb2 as pb
from headrace_server.codec import answers, requests
from headrace_server.codec.errors import internal, to_status
from headrace_server.control.jobs.single import Jobs
from headrace_server.domain.command import Answer, Verdict
from headrace_server.domain.errors import ControlError, FieldViolation, InvalidArgument

STOP: Final = "headrace.StopJob.v1"
STOPPED: Final = "headrace.StopJobResponse.v1"
STATUS: Final = "google.rpc.Status"
PROTOBUF: Final = "application/protobuf"


class CommandHandler:
    """Takes commands."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def apply(self, kind: str, content_type: str, body: bytes) -> Answer:
        """Carry a command out. Whatever goes wrong is an answer."""
        try:
            request = _read(kind, content_type, body)
        except ControlError as error:
            return _refusal(Verdict.INVALID, error)
        try:
            response = answers.stopped(*await self._jobs.stop(**requests.stop(request)))
        except ControlError as error:
            if error.retry_after is not None:
                return _refusal(Verdict.RETRY, error)
            invalid = isinstance(error, InvalidArgument)
            return _refusal(Verdict.INVALID if invalid else Verdict.DONE, error)
        except Exception as error:  # noqa: BLE001 - told by its error id
            return _refusal(Verdict.DONE, internal(error, f"the command {kind}", request))
        return Answer(Verdict.DONE, STOPPED, _json(response))


def _read(kind: str, content_type: str, body: bytes) -> pb.StopJobRequest:
    """The request of a command. Raises InvalidArgument."""
    if kind != STOP:
        raise InvalidArgument(FieldViolation("type", f"{kind!r} is no command: there is {STOP}."))
    try:
        if content_type == PROTOBUF:
            return pb.StopJobRequest.FromString(body)
        return Parse(body, pb.StopJobRequest())
    except (ParseError, DecodeError, UnicodeDecodeError) as error:
        text = f"It is no headrace.v1.StopJobRequest: {error}"
        raise InvalidArgument(FieldViolation("body", text)) from None


def _refusal(verdict: Verdict, error: ControlError) -> Answer:
    return Answer(verdict, STATUS, _json(to_status(error)), error.message)


def _json(message: Message) -> bytes:
    return MessageToJson(message, indent=None, ensure_ascii=False).encode()
