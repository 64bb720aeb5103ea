"""What clients in other languages take from proto/: the options of their generators, and the
service config.
"""

import json
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileOptions
from service_config import service_config

from headrace.v1 import admin_service_pb2, job_pb2, job_service_pb2, value_pb2

PROTO = Path(__file__).parents[2] / "proto/headrace/v1"
FILES = (value_pb2, job_pb2, job_service_pb2, admin_service_pb2)


@pytest.mark.parametrize("module", FILES)
def test_a_file_says_what_its_code_is_called_in_each_language(module: object) -> None:
    """One Go package, one Java package with a file for each class, one namespace in C# and PHP, one
    prefix in Objective-C.
    """
    options: FileOptions = module.DESCRIPTOR.GetOptions()  # type: ignore[attr-defined] # a generated module
    assert options.go_package == "headrace/v1;headracev1"
    assert (options.java_package, options.java_multiple_files) == ("com.headrace.v1", True)
    assert options.csharp_namespace == "Headrace.V1"
    assert options.objc_class_prefix == "HDR"
    assert (options.php_namespace, options.php_metadata_namespace) == (
        "Headrace\\V1",
        "Headrace\\V1\\GPBMetadata",
    )


def test_the_outer_classes_of_java_have_a_name_each() -> None:
    """None is called what a message is called, which javac refuses."""
    outer = {module.DESCRIPTOR.GetOptions().java_outer_classname for module in FILES}
    assert len(outer) == len(FILES)
    assert not outer & {name for module in FILES for name in module.DESCRIPTOR.message_types_by_name}


def test_every_file_was_looked_at() -> None:
    """A new .proto file gets the same options."""
    assert {path.name for path in PROTO.glob("*.proto")} == {
        Path(module.DESCRIPTOR.name).name for module in FILES
    }


def test_the_null_is_googles() -> None:
    """So that JSON writes it as null."""
    field = value_pb2.Value.DESCRIPTOR.fields_by_name["null_value"]
    assert field.enum_type.full_name == "google.protobuf.NullValue"


def test_the_service_config_to_copy_names_every_method() -> None:
    """proto/headrace/v1/service_config.json has a retry policy for every unary method that there
    is.
    """
    copied = json.loads((PROTO / "service_config.json").read_text())
    assert copied == service_config(), "they differ: run 'make service-config'"
