"""The forms of output: -o table|json|jsonl|yaml|name, and --format."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from headrace.cli.form import Form
from headrace.cli.record import Record
from headrace.cli.streams import fits, lost
from headrace.cli.template import Template
from headrace.cli.terminal import clean, json_text, note, write


@dataclass(frozen=True, slots=True)
class Output:
    """The output that the user asked for."""

    form: Form = Form.TABLE
    template: Template | None = None

    @property
    def full(self) -> bool:
        """Whether parameters and results can be asked for, so that they have to be fetched."""
        return self.template is not None or self.form in (Form.JSON, Form.JSONL, Form.YAML)

    @property
    def for_people(self) -> bool:
        """Whether the output is in the form for people to read."""
        return self.template is None and self.form is Form.TABLE

    @property
    def streams(self) -> bool:
        """Whether a job that is followed is shown in lines of JSON as it goes."""
        return self.template is None and self.form is Form.JSONL

    def one(self, record: Record, table: Callable[[], None]) -> None:
        """Write one thing; `table` writes its form for people."""
        if self.for_people:
            table()
        elif self.template is None and self.form is Form.JSON:
            write(to_json(record.data, indent=2))
        elif self.template is None and self.form is Form.YAML:
            _write_yaml(record.data)
        else:
            self._line(record)

    def many(self, records: Iterable[Record]) -> None:
        """Write a list of records in a form for programs.

        Each is written as soon as it is there, where the form allows it.
        """
        if self.template is None and self.form is Form.JSON:
            _write_array(record.data for record in records)
        elif self.template is None and self.form is Form.YAML:
            _write_yaml([record.data for record in records])
        else:
            self._lines(records)

    def _lines(self, records: Iterable[Record]) -> None:
        """Write each record as a line.

        A path of a template that only some records have is blank. One that none has is reported.
        """
        lacking: set[str] | None = None
        for record in takewhile(lambda _: not lost(), records):
            missed: set[str] = set()
            self._line(record, missed)
            lacking = missed if lacking is None else lacking & missed
        for path in sorted(lacking or ()):
            note(f"None of these has {{{path}}}.")

    def _line(self, record: Record, missed: set[str] | None = None) -> None:
        """Write one thing as one line."""
        if self.template is not None:
            write(self.template.fill(record, missed))
        elif self.form is Form.NAME:
            write(record.name)
        else:
            write(to_json(record.data))


def to_json(data: Any, indent: int | None = None) -> str:
    """Return data as JSON, escaping control characters and letters that stdout cannot encode.

    They are escaped as JSON does it.
    """
    text = json_text(data, indent)
    return text if fits(text) else json.dumps(data, indent=indent)


def _write_array(items: Iterator[dict[str, Any]]) -> None:
    before = "["
    for data in takewhile(lambda _: not lost(), items):
        sys.stdout.write(f"{before}\n{to_json(data, indent=2)}")
        before = ","
    write("[]" if before == "[" else "\n]")


def _write_yaml(data: Any) -> None:
    import yaml  # noqa: PLC0415 - most output is in another form

    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    sys.stdout.write(
        text if fits(text) and clean(text, lines=True) == text else yaml.safe_dump(data, sort_keys=False)
    )
