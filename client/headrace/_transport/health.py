"""grpc.health.v1, as a probe asks it: one call, one word.

Its stubs come with a package that the light client does without. Both messages have one field, so
they are on the wire what protobuf's own wrappers are.
"""

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from headrace._transport.channel import Connection
from headrace._transport.status import from_rpc_error

SERVING = "SERVING"
_STATUSES = ("UNKNOWN", SERVING, "NOT_SERVING", "SERVICE_UNKNOWN")


LIVE = "live"
"""The service that is SERVING as long as the server answers at all."""


def check(connection: Connection, service: str = "") -> str:
    """Returns the health of the server, such as SERVING, or that of one of its services.

    It is NOT_SERVING while the server drains or has no database.

    Asked once: a probe comes again by itself. Raises HeadraceError when there is no answer.
    """
    with connection.open() as channel:
        ask = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=Int32Value.FromString,
        )
        try:
            metadata = connection.access.call_metadata()
            answer = ask(StringValue(value=service), timeout=connection.timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error, connection.target) from None
    status = answer.value
    return _STATUSES[status] if status in range(len(_STATUSES)) else _STATUSES[0]
