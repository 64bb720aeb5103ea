"""The forms of output, by name."""

from enum import StrEnum


class Form(StrEnum):
    """What output looks like."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    NAME = "name"
