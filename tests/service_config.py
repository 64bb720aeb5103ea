"""The service config that clients in other languages copy: gRPC's own repetitions, for every method
that may be repeated.

The Python client repeats calls by itself (headrace/_flows/retry.py), for longer than a service
config can say.
"""

import json
from typing import Any

from headrace.v1 import admin_service_pb2, job_service_pb2

RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    # Headrace's server answers no call CANCELLED: its transport does, to a call that comes in as it
    # stops.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


def service_config() -> dict[str, Any]:
    """The retry policy of every unary method."""
    services = (
        *job_service_pb2.DESCRIPTOR.services_by_name.values(),
        *admin_service_pb2.DESCRIPTOR.services_by_name.values(),
    )
    names = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if not method.server_streaming
    ]
    return {"methodConfig": [{"name": names, "retryPolicy": RETRY_POLICY}]}


if __name__ == "__main__":
    print(json.dumps(service_config(), indent=2))
