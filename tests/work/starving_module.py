"""A module that takes from its process what a worker cannot do without."""

import resource
import sys
from typing import Any

from headrace.jobs import job

LOW = {"RLIMIT_NOFILE": 8, "RLIMIT_CPU": 1, "RLIMIT_AS": 1 << 24, "RLIMIT_DATA": 1 << 20}

for _name, _least in LOW.items():
    _number = getattr(resource, _name)
    resource.setrlimit(_number, (_least, resource.getrlimit(_number)[1]))
sys.path.clear()
sys.meta_path.clear()


@job("limits")
def limits(ctx: Any) -> list[str]:
    """The limits that are as low as this module has made them."""
    del ctx
    return [name for name, least in LOW.items() if resource.getrlimit(getattr(resource, name))[0] == least]
