"""`make asyncapi`: the schemas of messages in docs/asyncapi.yaml, made from the contract and its
comments.

They say how protobuf's JSON mapping writes a message: a field that has its default is left out, an
int64 is text.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.rpc import status_pb2

from headrace.v1 import job_pb2, job_service_pb2

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/asyncapi.yaml"
BEGIN = "    # From here on made by `make asyncapi` from proto/headrace/v1.\n"
SENT: tuple[Descriptor, ...] = (
    job_pb2.JobEvent.DESCRIPTOR,
    job_pb2.JobProgress.DESCRIPTOR,
    job_service_pb2.StopJobRequest.DESCRIPTOR,
    job_service_pb2.StopJobResponse.DESCRIPTOR,
    status_pb2.Status.DESCRIPTOR,
)
ALWAYS = {
    "headrace.v1.JobEvent": ["jobId", "tenant", "type", "revision", "eventTime", "status"],
    "headrace.v1.JobProgress": ["updateTime"],
    "headrace.v1.StopJobRequest": ["jobId"],
    "headrace.v1.StopJobResponse": ["outcome", "job"],
    "google.rpc.Status": ["code", "message"],
}
"""What the protobuf types cannot say: fields that are there in every message."""
ONE_OF = {"headrace.v1.JobEvent"}
"""Messages whose oneof is always set."""

Schema = dict[str, Any]
_INT64 = {"type": "string", "pattern": "^-?[0-9]+$"}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
    FieldDescriptor.TYPE_INT32: {"type": "integer"},
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_STRING: {"type": "string"},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Any": {"type": "object", "required": ["@type"]},
    "google.protobuf.NullValue": {"type": "null"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Value": {},
}


def schemas() -> dict[str, Schema]:
    """By name, those of what is sent, of all that it contains, and of an event's ce-type."""
    said = comments()
    made: dict[str, Schema] = {}
    for message in SENT:
        _add(message, made, said)
    kinds = job_pb2.JobEvent.DESCRIPTOR.oneofs_by_name["kind"].fields
    made["EventType"] = {"type": "string", "enum": [f"headrace.job.{field.name}.v1" for field in kinds]}
    return made


def _add(kind: Descriptor | EnumDescriptor, made: dict[str, Schema], said: dict[str, str]) -> None:
    if _name(kind) in made:
        return
    about = {"description": said[kind.full_name]} if kind.full_name in said else {}
    if isinstance(kind, EnumDescriptor):
        words = [word.name for word in kind.values if word.number]
        made[_name(kind)] = {**about, "type": "string", "enum": words}
        return
    schema = made[_name(kind)] = {**about, "type": "object"}
    if kind.full_name in ALWAYS:
        schema["required"] = ALWAYS[kind.full_name]
    properties = {}
    for field in kind.fields:
        text = {"description": said[field.full_name]} if field.full_name in said else {}
        of = _field(field, made, said)
        # Beside a $ref nothing else counts.
        properties[field.json_name] = of if "$ref" in of else {**text, **of}
    if properties:
        schema["properties"] = properties
    if kind.full_name in ONE_OF:
        schema["oneOf"] = [{"required": [field.json_name]} for field in kind.oneofs[0].fields]


def _field(field: FieldDescriptor, made: dict[str, Schema], said: dict[str, str]) -> Schema:
    of: Descriptor | EnumDescriptor | None = field.message_type or field.enum_type
    if isinstance(of, Descriptor) and of.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _field(of.fields_by_name["value"], made, said)}
    if of is None:
        schema = _SCALARS[field.type]
    elif of.full_name in _WELL_KNOWN:
        schema = _WELL_KNOWN[of.full_name]
    else:
        _add(of, made, said)
        schema = {"$ref": f"#/components/schemas/{_name(of)}"}
    return {"type": "array", "items": dict(schema)} if field.is_repeated else dict(schema)


def _name(kind: Descriptor | EnumDescriptor) -> str:
    """Its name; that of a nested one with its parent's."""
    return kind.full_name.removeprefix(f"{kind.file.package}.")


def comments() -> dict[str, str]:
    """What the .proto files say of each message, field and enum, by its full name."""
    command = [Path(sys.executable).with_name("buf"), "build", "--output", "-#format=binpb"]
    built = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    found: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(built).file:
        for place in file.source_code_info.location:
            text = " ".join(place.leading_comments.split())
            if text and (name := _at(file, list(place.path))):
                found[f"{file.package}.{name}"] = text
    return found


def _at(file: FileDescriptorProto, path: list[int]) -> str | None:
    """The name of what a path of a file leads to, if it is a message, a field or an enum."""
    level: FileDescriptorProto | DescriptorProto = file
    names: list[str] = []
    for number, index in zip(path[::2], path[1::2], strict=False):
        if number not in level.DESCRIPTOR.fields_by_number:
            return None
        label = level.DESCRIPTOR.fields_by_number[number].name
        if label not in {"message_type", "nested_type", "enum_type", "field"}:
            return None
        level = getattr(level, label)[index]
        names.append(level.name)
    return ".".join(names) if len(path) % 2 == 0 else None


class _Plain(yaml.SafeDumper):
    """Writes each value out, however often it occurs."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def document() -> str:
    """The document with the schemas as they should be."""
    before = DOCUMENT.read_text().partition(BEGIN)[0]
    text = yaml.dump(schemas(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    return f"{before}{BEGIN}" + "".join(f"    {line}\n" for line in text.splitlines())


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    sys.stdout.write(f"{DOCUMENT} has {len(schemas())} schemas\n")
