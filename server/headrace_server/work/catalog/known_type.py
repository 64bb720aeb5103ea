"""Represent one registered type in the server, as the loader has reported it.

    {"info": …, "fingerprint": [takes, settings], "parameters": [names], "required": [names],
    "more": true | false,
     "plain": null | {"schemas": {name: schema}, "more": schema, "as_given": [names],
     "more_as_given": true | false,
               "defaults": {name: plain value}}}

more: parameters that are not declared are taken too. plain: null where classes of the job take part
in the check. as_given: the parameters whose values are already what is stored, once they are valid.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from headrace._work.coerce import Conversion
from headrace.jobs import Fingerprint, Parameter, Signature
from headrace_server.domain.ports.job_types import TypeDefaults, TypeInfo
from headrace_server.domain.spec import RetryPolicy
from headrace_server.work.catalog.check import ParameterCheck
from headrace_server.work.catalog.portable import PlainAdapter


class KnownType:
    """A registered type as the server knows it.

    `check` is its own check, or None where the loader has to be asked. `via` is the module that it
    came with.
    """

    def __init__(self, record: Mapping[str, Any], via: str) -> None:
        self.via = via
        self.info = _info(record["info"])
        self.fingerprint = Fingerprint(*record["fingerprint"])
        self.check = None if record["plain"] is None else _check(record, record["plain"])


def _info(told: Mapping[str, Any]) -> TypeInfo:
    defaults = told["defaults"]
    return TypeInfo(
        **{**told, "defaults": TypeDefaults(RetryPolicy(**defaults["retry"]), defaults["timeout"])}
    )


def _check(record: Mapping[str, Any], plain: Mapping[str, Any]) -> ParameterCheck:
    required = set(record["required"])
    parameters = {
        name: Parameter(name, Any, inspect.Parameter.empty if name in required else None)
        for name in record["parameters"]
    }
    signature = Signature(parameters, Any if record["more"] else None, by_keyword=False, result=None)
    coercion = Conversion(
        {name: PlainAdapter(schema) for name, schema in plain["schemas"].items()},
        PlainAdapter(plain["more"]) if record["more"] else None,
        as_given=frozenset(plain["as_given"]),
        more_as_given=plain["more_as_given"],
    )
    return ParameterCheck(signature, coercion, plain["defaults"])
