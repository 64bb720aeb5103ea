"""How pydantic, where a program uses it, takes Reference and File: by name from `headrace.values`."""

from dataclasses import asdict
from typing import Any

from pydantic import GetCoreSchemaHandler, SerializationInfo
from pydantic_core import CoreSchema, core_schema


class Whole:
    """Carries a Reference or a File through a dump, which would take any dataclass apart."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _keep(value: Any, info: SerializationInfo) -> Any:
    return asdict(value) if info.mode_is_json() else Whole(value)


def carried_schema(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The schema of Reference and File: as dataclasses go in, and whole on the way out."""
    keep = core_schema.plain_serializer_function_ser_schema(_keep, info_arg=True)
    return {**handler(source), "serialization": keep}
